"""From an event in a whole cluster to the next training step (``benchmarks.cluster``)."""

from __future__ import annotations

import time
from typing import Final

from benchmarks import cluster
from benchmarks.cluster import Cluster
from benchmarks.comparison import RUNS, Case, alone
from benchmarks.progress import say
from benchmarks.sample import Sample

_WORKERS: Final = 2
_LIMIT_S: Final = 120.0


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of this module; the quick run has no time for a cluster."""
    if quick:
        return []
    sample = Sample(_measure)
    killed = {name: sample.of(f"killed-{name}") for name in ("operator", "alone")}
    return [
        Case(
            "apply-to-step",
            (_WORKERS,),
            "s",
            alone(sample.of("applied")),
            remark="from before kubectl apply to the first step; the store's start included",
        ),
        Case(
            "scale-out-to-step",
            (_WORKERS,),
            "s",
            alone(sample.of("scaled")),
            remark="from before kubectl scale to the first step with one worker more",
        ),
        Case(
            "pod-killed-to-step",
            (_WORKERS,),
            "s",
            killed,
            remark="from SIGKILL of a container to the survivors' next step; alone: the operator "
            "is away, and the lease of 5 s tells",
        ),
    ]


def _measure(_n: int, _limit_s: float) -> list[dict[str, float]]:
    with cluster.running() as here:
        return [_one_job(here) for _ in range(RUNS)]


def _one_job(here: Cluster) -> dict[str, float]:
    """Let one job live through all of it; return the seconds that each event took."""
    figures = {"applied": _applied(here), "scaled": _scaled(here), "killed-operator": _killed(here)}
    here.step(lambda step: step.world > _WORKERS and step.at > time.time() - 1, "all", _LIMIT_S)
    with here.without_operator():
        figures["killed-alone"] = _killed(here)
    here.delete()
    say(", ".join(f"{name} {seconds:.2f} s" for name, seconds in figures.items()))
    return figures


def _applied(here: Cluster) -> float:
    at = time.time()
    here.apply(_WORKERS)
    return here.step(lambda step: step.at > at, "the first step", _LIMIT_S).at - at


def _scaled(here: Cluster) -> float:
    at = time.time()
    here.scale(_WORKERS + 1)
    done = here.step(
        lambda step: step.at > at and step.world > _WORKERS, "a step of one more", _LIMIT_S
    )
    return done.at - at


def _killed(here: Cluster) -> float:
    at = time.time()
    here.kill_a_worker()
    return here.step(lambda step: step.since > at, "a step of the survivors", _LIMIT_S).at - at
