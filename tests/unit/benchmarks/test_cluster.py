"""What the benchmark reads off the logs of a training."""

from benchmarks.cluster import Step, steps

LOG = """\
[W socket.cpp:1] something else
step at 12.5 of 3 since 10.25
step at 11.5 of 2 since 10.25
"""


def test_steps_are_read_from_the_logs_of_all_workers_in_the_order_of_time():
    assert steps(LOG) == [Step(11.5, 2, 10.25), Step(12.5, 3, 10.25)]
