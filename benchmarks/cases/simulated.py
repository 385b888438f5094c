"""Rounds of more members than the machine holds, on virtual time (``benchmarks.simulation``)."""

from __future__ import annotations

import itertools
from dataclasses import replace

from benchmarks import simulation
from benchmarks.comparison import Case, alone

_seeds = itertools.count()


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of this module."""
    sizes = (256, 1024) if quick else (256, 1024, 4000)
    remark = "virtual seconds, on the model that benchmarks/simulation.py states"
    usual = Case("simulated-formation/etcd", sizes, "s", alone(_form), remark=remark)
    # The largest takes minutes.
    return [usual] if quick else [usual, replace(usual, sizes=(16_000,), runs=1)]


def _form(n: int, _limit_s: float) -> float:
    return simulation.form(n, next(_seeds))
