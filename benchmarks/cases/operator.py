"""The operator with many jobs, and with one large one, on fake nodes (``benchmarks.scale``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.comparison import Case, alone
from benchmarks.sample import Sample
from benchmarks.scale import trial

_ROUNDS: Final = "from the first create to "
_FIGURES: Final = {
    "created": ("s", _ROUNDS + "the last pod"),
    "ready": ("s", _ROUNDS + "the last job that says that its round stands"),
    "calls-per-pod": ("calls", "of the API, up to then and at rest after it"),
    "status-writes-per-job": ("writes", "up to then"),
    "status-writes-per-second": ("writes", "the most for one job within any second"),
    "cpu": ("s", "of the operator, up to then"),
    "memory": ("MiB", "of the operator, then"),
    "look-p50": ("ms", "one look at a job, its calls of the API included"),
    "look-p99": ("ms", "one look at a job, its calls of the API included"),
    "steady-lists": ("calls", "while nothing happens"),
    "steady-calls": ("1/s", "while nothing happens"),
    "steady-cpu": ("cores", "while nothing happens"),
    "restart-back": ("s", "from the start of a new operator until it has seen to all jobs"),
    "restart-calls-per-pod": ("calls", "of the new operator"),
    "restart-status-writes-per-job": ("writes", "of the new operator"),
    "restart-cpu": ("s", "of the new operator, its start included"),
    "restart-memory": ("MiB", "of the new operator"),
    "restart-look-p50": ("ms", "one look of the new operator"),
    "restart-look-p99": ("ms", "one look of the new operator"),
}
_QUICK_STEADY_S: Final = 3.0
_STEADY_S: Final = 30.0
_LIMIT_S: Final = 600.0
"""What comes at this size takes minutes: the limit of other cases is not for it."""


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of this module: all figures of a size come from one run."""
    steady_s = _QUICK_STEADY_S if quick else _STEADY_S
    return [
        *_of("jobs-of-4", (100,) if quick else (100, 1000), trial.many_jobs, steady_s),
        *_of("one-job", (400,) if quick else (400, 4000), trial.one_job, steady_s),
    ]


def _of(
    shape: str, sizes: tuple[int, ...], measured: Callable[[float], trial.Measured], steady_s: float
) -> list[Case]:
    def measure(n: int, _limit_s: float) -> list[trial.Figures]:
        return [measured(steady_s)(n, _LIMIT_S)]

    sample = Sample(measure)
    return [
        Case(f"operator/{shape}/{name}", sizes, unit, alone(sample.of(name)), remark=remark, runs=1)
        for name, (unit, remark) in _FIGURES.items()
    ]
