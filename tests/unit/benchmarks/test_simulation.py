"""Rounds of many members on virtual time: how the time grows with their number."""

import math

from benchmarks import simulation


def test_a_round_takes_the_same_time_whenever_it_is_simulated():
    assert simulation.form(16, seed=3) == simulation.form(16, seed=3)


def test_the_time_of_a_round_grows_no_faster_than_the_power_of_1_2():
    few, many = simulation.form(64, seed=1), simulation.form(512, seed=1)
    assert math.log(many / few) / math.log(512 / 64) < 1.2
