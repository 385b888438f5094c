"""The rounds of a job as text: a line, a table of who, which rank, why and how long, a picture."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from elasticjob_operator import api
from elasticjob_operator.timestamps import EPOCH, instant

RANK_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
PICTURE_COLUMNS: Final = 64
TEXT_COLUMNS: Final = 96


def read_rounds(job: Mapping[str, Any]) -> tuple[api.RoundRecord, ...]:
    """Return the rounds that the job's status records, oldest first; none without a status."""
    told = (job.get("status") or {}).get("rendezvous") or {}
    return api.RendezvousStatus.model_validate(told).history


def words(told: api.RoundRecord) -> str:
    """Return a round in one line."""
    world = f", world size {told.world_size}" if told.world_size is not None else ""
    took = f", formed in {spell(told.seconds)}" if told.seconds else ""
    return f"round {told.round}: {_workers(told)}{world}{took}; because {told.reason}"


def ranks(told: api.RoundRecord) -> str:
    """Return who has which rank, in one line."""
    return ", ".join(f"{pod} is rank {rank}" for rank, pod in enumerate(told.members))


def spell(seconds: float) -> str:
    """Return a round's duration as people say it."""
    return f"{seconds * 1000:.0f} ms" if seconds < 0.1 else f"{seconds:.1f} s"


def render_table(rounds: Sequence[api.RoundRecord]) -> list[str]:
    """Return a line for each round, its reason in words, and who took part with which rank."""
    lines = ["round  at        formed in  cause      workers"]
    for one in rounds:
        ranked = "  ".join(f"{rank} {pod}" for rank, pod in enumerate(one.members))
        lines.append(
            f"{one.round:<5}  {f'{_after_s(one, rounds[0]):.1f} s':<8}  {spell(one.seconds):<9}  "
            f"{one.cause:<9}  {one.workers}{f': {ranked}' if ranked else ''}"
        )
        lines += textwrap.wrap(
            one.reason, TEXT_COLUMNS, initial_indent=" " * 7, subsequent_indent=" " * 7
        )
    return lines


def render_lanes(
    rounds: Sequence[api.RoundRecord], ended_at: datetime, columns: int = PICTURE_COLUMNS
) -> list[str]:
    """Return a picture: time runs to the right, one lane per pod, drawn with the pod's rank.

    Widths follow the rounds' durations, but even a short round gets room for its number; an `x`
    ends the lane of a pod that was lost or left.
    """
    pods = list(dict.fromkeys(pod for one in rounds for pod in one.members))
    if not pods:
        return []
    starts_s = [_after_s(one, rounds[0]) for one in rounds]
    end_s = max(starts_s[-1], (ended_at - _formed_at(rounds[0])).total_seconds())
    labels = [f"{start:.0f}" for start in starts_s]
    widths = share_columns([*starts_s, end_s], [len(label) for label in labels], columns)
    margin = max(len("seconds"), *(len(pod) for pod in pods))

    numbers = [str(one.round) for one in rounds]
    lines = [
        f"{'round':<{margin}}  {_row(numbers, widths)}",
        f"{'seconds':<{margin}}  {_row(labels, widths)} {end_s:.0f}",
    ]
    lines += [f"{pod:<{margin}}  {_lane(pod, rounds, widths)}" for pod in pods]
    return [line.rstrip() for line in lines]


def share_columns(bounds_s: Sequence[float], least: Sequence[int], columns: int) -> list[int]:
    """Return the widths of the stretches between the bounds, in proportion, each at least so."""
    total_s = bounds_s[-1] - bounds_s[0] or 1.0
    lengths_s = [after - before for before, after in itertools.pairwise(bounds_s)]
    return [
        max(minimum, round(length_s / total_s * columns))
        for length_s, minimum in zip(lengths_s, least, strict=True)
    ]


def _formed_at(one: api.RoundRecord) -> datetime:
    return instant(one.formed_at) or EPOCH


def _after_s(one: api.RoundRecord, first: api.RoundRecord) -> float:
    return (_formed_at(one) - _formed_at(first)).total_seconds()


def _workers(told: api.RoundRecord) -> str:
    return f"{told.workers} worker{'' if told.workers == 1 else 's'}"


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    return " ".join(padded)


def _lane(pod: str, rounds: Sequence[api.RoundRecord], widths: Sequence[int]) -> str:
    cells: list[str] = []
    before: api.RoundRecord | None = None
    for one, width in zip(rounds, widths, strict=True):
        if pod in one.members:
            cells.append(RANK_DIGITS[one.members.index(pod) % len(RANK_DIGITS)] * width)
        elif before and pod in before.members and one.cause in {"lost", "left"}:
            cells.append("x".ljust(width))
        else:
            cells.append(" " * width)
        before = one
    return " ".join(cells)
