"""What the benchmark reads off the logs of a training."""

from benchmarks.cases import training
from benchmarks.cluster import Step, steps
from benchmarks.comparison import RUNS, compare

LOG = """\
[W socket.cpp:1] something else
step at 12.5 of 3 since 10.25
step at 11.5 of 2 since 10.25
"""


def test_steps_are_read_from_the_logs_of_all_workers_in_the_order_of_time():
    assert steps(LOG) == [Step(11.5, 2, 10.25), Step(12.5, 3, 10.25)]


def test_all_cases_in_a_cluster_come_from_the_same_jobs(monkeypatch):
    started = []

    def measure(n, limit_s):
        started.append(n)
        names = ("applied", "scaled", "killed-operator", "killed-alone")
        return [dict.fromkeys(names, float(run)) for run in range(RUNS)]

    monkeypatch.setattr(training, "_measure", measure)
    rows = [row for case in training.cases(quick=False) for row in compare(case, 1)]
    assert started == [2]
    assert [row.case for row in rows] == [
        "apply-to-step",
        "scale-out-to-step",
        "pod-killed-to-step/operator",
        "pod-killed-to-step/alone",
    ]
