"""Participants in processes of their own."""

import os
import time

import pytest

from benchmarks.comparison import NotMeasured
from benchmarks.crowd import Crowd, processes_for


def itself(index):
    return index


def with_its_process(participant):
    return participant, os.getpid()


def fails(participant):
    raise ValueError(f"{participant} does not want to")


def sleeps(participant):
    time.sleep(30)


def cannot_be_made(index):
    raise NotMeasured("there is no such server")


def test_they_are_spread_over_processes_and_answer_in_order():
    with Crowd(itself, 5, processes=2) as crowd:
        answers = crowd.do(with_its_process, limit_s=10)
    assert [answer[0] for answer in answers] == [0, 1, 2, 3, 4]
    assert len({answer[1] for answer in answers} - {os.getpid()}) == 2


def test_only_those_act_who_are_named():
    with Crowd(itself, 5, processes=2) as crowd:
        assert [a[0] for a in crowd.do(with_its_process, limit_s=10, members=[1, 4])] == [1, 4]


def test_one_that_fails_is_named():
    with (
        Crowd(itself, 2) as crowd,
        pytest.raises(NotMeasured, match=r"ValueError: . does not want"),
    ):
        crowd.do(fails, limit_s=10)


def test_one_that_cannot_be_made_says_why():
    with pytest.raises(NotMeasured, match="there is no such server"):
        Crowd(cannot_be_made, 2)


def test_who_is_not_back_in_time_is_not_waited_for():
    with Crowd(itself, 1) as crowd, pytest.raises(NotMeasured, match=r"not finished within 0\.1 s"):
        crowd.do(sleeps, limit_s=0.1)


def test_one_that_is_killed_is_noticed():
    with Crowd(itself, 2, processes=2) as crowd:
        busy = crowd.begin(sleeps, members=[1])
        crowd.kill(1)
        with pytest.raises(NotMeasured, match="died"):
            crowd.collect(busy, 10)


@pytest.mark.parametrize(("n", "processes"), [(2, 2), (8, 8), (32, 8), (64, 16), (1024, 16)])
def test_so_many_processes_hold_so_many(n, processes):
    assert processes_for(n) == processes
