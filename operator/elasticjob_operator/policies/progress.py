"""How far training has come, and whether it stands still, by what its workers say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Final

from elasticjob_operator.observed import FormedRound, Observed, Reported
from elasticjob_operator.progress import MAX_STRAGGLERS, Progress, Straggler
from elasticjob_operator.timestamps import stamp
from rdzv_client import wire

STRAGGLER_FACTOR: Final = 1.5
START_FACTOR: Final = 3
"""Until the first step of a round, so many times as long is allowed: there is much to load."""


@dataclass(frozen=True)
class Placed:
    """What the worker of a rank says."""

    rank: wire.Rank
    told: Reported

    @property
    def step(self) -> int:
        return self.told.said.step


def shown(observed: Observed) -> Progress | None:
    """Return ``status.progress``: what the worker of the least rank says that tells anything."""
    said = placed(observed)
    if not said:
        return observed.status.progress
    first, told = said[0], said[0].told
    usual_s, slow = _stragglers(said)
    return Progress(
        step=first.step,
        epoch=told.said.epoch,
        metrics=told.said.metrics,
        steps_per_second=told.said.steps_per_second,
        rank=first.rank.rank,
        pod=first.rank.name,
        round=told.said.round,
        reported_at=stamp(told.at),
        step_seconds=usual_s,
        stragglers=tuple(slow[:MAX_STRAGGLERS]),
    )


def placed(observed: Observed) -> Sequence[Placed]:
    """Return what the workers of the last round say, by their ranks."""
    formed = _last_round(observed)
    told = {report.said.id: report for report in observed.store.progress}
    ranks = formed.ranks if formed else ()
    return [Placed(rank, told[rank.id]) for rank in ranks if rank.id in told]


def straggling(told: Progress | None) -> str:
    """Return a sentence about the workers that hold up all others; nothing when there is none."""
    if told is None or not told.stragglers:
        return ""
    slowest = max(told.stragglers, key=lambda one: one.step_seconds)
    others = len(told.stragglers) - 1
    beside = f"; {others} more {'is' if others == 1 else 'are'} slow" if others else ""
    return (
        f"the worker of rank {slowest.rank} (pod {slowest.pod} on node {slowest.node}) takes"
        f" {slowest.step_seconds:g} s for a step, the median is {told.step_seconds:g} s{beside}"
    )


def _stragglers(said: Sequence[Placed]) -> tuple[float | None, list[Straggler]]:
    """Return what a step takes the worker in the middle, and those whom it takes much longer.

    All steps of synchronous training take the same; what tells is what each does by itself.
    """
    own_s = {one.rank: s for one in said if (s := one.told.said.step_s) is not None}
    if not own_s:
        return None, []
    usual_s = median_low(own_s.values())
    slow = [(rank, s) for rank, s in own_s.items() if s >= STRAGGLER_FACTOR * usual_s > 0]
    return usual_s, [
        Straggler(rank=rank.rank, pod=rank.name, node=rank.node, step_seconds=s) for rank, s in slow
    ]


# --- standing still ----------------------------------------------------------------------------


def stalled(observed: Observed) -> tuple[int, str]:
    """Return the last round that is to end because no step is done in it, and why; 0 for none."""
    settings, round_ = observed.store.settings, observed.store.round
    left_s = _left_s(observed)
    if round_ and left_s is not None and left_s <= 0:
        return round_.number, _words(observed, round_.number)
    return (settings.stalled_round, settings.stalled_reason) if settings else (0, "")


def stands_still(observed: Observed) -> str:
    """Return why the round of now is to end, or has ended, if that is it; else nothing."""
    number, why = stalled(observed)
    round_ = observed.store.round
    return why if round_ and round_.number == number and round_.phase != "closed" else ""


def look_again_s(observed: Observed) -> float | None:
    """Return after how many seconds the round will have stood still for too long."""
    left_s = _left_s(observed)
    return left_s if left_s is not None and left_s > 0 else None


def _left_s(observed: Observed) -> float | None:
    """Return for how long the round may go on without a step; None while there is no limit.

    It counts from the last step that anybody told of, and only while the store was heard.
    """
    limit_s = observed.spec.failure_policy.progress_deadline_seconds
    store, formed = observed.store, _last_round(observed)
    if limit_s is None or formed is None or not store.reachable:
        return None
    asked = store.settings is not None and store.settings.stalled_round >= formed.record.number
    if asked or not store.round or store.round.phase != "complete":
        return None
    said = placed(observed)
    if not said and observed.status.progress is None:
        return None
    since = max((one.told.grown_at for one in said), default=formed.at)
    since = max(since, store.since or since)
    allowed_s = limit_s if said else START_FACTOR * limit_s
    return allowed_s - (observed.now - since).total_seconds()


def _words(observed: Observed, number: int) -> str:
    limit_s, said = observed.spec.failure_policy.progress_deadline_seconds, placed(observed)
    assert limit_s
    if not said:
        return f"no step within {START_FACTOR * limit_s} s of round {number}"
    last = max(said, key=lambda one: one.step)
    words = f"no step for {limit_s} s in round {number}"
    return f"{words}; the last was step {last.step}, told by rank {last.rank.rank}"


def _last_round(observed: Observed) -> FormedRound | None:
    """Return the round of now if it was formed."""
    store = observed.store
    known = store.round is not None and store.round.phase != "proposed" and bool(store.formed)
    if known and store.round and store.formed[-1].record.number == store.round.number:
        return store.formed[-1]
    return None
