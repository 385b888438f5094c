"""Rounds of more members than the machine holds, on virtual time (``benchmarks.simulation``)."""

from __future__ import annotations

import itertools

from benchmarks import simulation
from benchmarks.comparison import Case, alone

_seeds = itertools.count()


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of this module."""
    sizes = (256, 1024) if quick else (256, 1024, 4000, 16_000)
    remark = "virtual seconds, on the model that benchmarks/simulation.py states"
    return [Case("simulated-formation/etcd", sizes, "s", alone(_form), remark=remark)]


def _form(n: int, _limit_s: float) -> float:
    return simulation.form(n, next(_seeds))
