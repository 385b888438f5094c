"""The rounds of a job as text: a table of who, which rank, why and how long, and a picture."""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from localcluster.progress import spell

RANK_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
PICTURE_COLUMNS = 64
TEXT_COLUMNS = 96


@dataclasses.dataclass(frozen=True)
class Round:
    """A round that was formed: `members` are pods in the order of their ranks."""

    number: int
    cause: str
    reason: str
    seconds: float
    formed_at: datetime
    members: tuple[str, ...]


def read_rounds(job: Mapping[str, Any]) -> list[Round]:
    """The rounds that the job's status records, oldest first; none if it has no status yet."""
    records = job.get("status", {}).get("rendezvous", {}).get("history", [])
    return [
        Round(
            number=record["round"],
            cause=record["cause"],
            reason=record["reason"],
            seconds=record["seconds"],
            formed_at=datetime.fromisoformat(record["formedAt"]),
            members=tuple(record.get("members", ())),
        )
        for record in records
    ]


def render_table(rounds: Sequence[Round]) -> list[str]:
    """One line per round, its reason in words, and who took part with which rank."""
    lines = ["round  at        formed in  cause      workers"]
    for one in rounds:
        at_s = (one.formed_at - rounds[0].formed_at).total_seconds()
        ranks = "  ".join(f"{rank} {pod}" for rank, pod in enumerate(one.members))
        lines.append(
            f"{one.number:<5}  {f'{at_s:.1f} s':<8}  {spell(one.seconds):<9}  "
            f"{one.cause:<9}  {len(one.members)}: {ranks}"
        )
        lines += textwrap.wrap(
            one.reason, TEXT_COLUMNS, initial_indent=" " * 7, subsequent_indent=" " * 7
        )
    return lines


def render_lanes(
    rounds: Sequence[Round], ended_at: datetime, columns: int = PICTURE_COLUMNS
) -> list[str]:
    """A picture: time runs to the right, one lane per pod, drawn with the pod's rank.

    Widths follow the rounds' durations, but even a short round gets room for its number; an `x`
    ends the lane of a pod that was lost or left.
    """
    if not rounds:
        return []
    starts_s = [(one.formed_at - rounds[0].formed_at).total_seconds() for one in rounds]
    end_s = max(starts_s[-1], (ended_at - rounds[0].formed_at).total_seconds())
    labels = [f"{start:.0f}" for start in starts_s]
    widths = share_columns([*starts_s, end_s], [len(label) for label in labels], columns)
    pods = list(dict.fromkeys(pod for one in rounds for pod in one.members))
    margin = max(len("seconds"), *(len(pod) for pod in pods))

    numbers = [str(one.number) for one in rounds]
    lines = [
        f"{'round':<{margin}}  {_row(numbers, widths)}",
        f"{'seconds':<{margin}}  {_row(labels, widths)} {end_s:.0f}",
    ]
    lines += [f"{pod:<{margin}}  {_lane(pod, rounds, widths)}" for pod in pods]
    return [line.rstrip() for line in lines]


def share_columns(bounds_s: Sequence[float], least: Sequence[int], columns: int) -> list[int]:
    """Widths of the stretches between `bounds_s`, in proportion, each at least its `least`."""
    total_s = bounds_s[-1] - bounds_s[0] or 1.0
    lengths_s = [after - before for before, after in itertools.pairwise(bounds_s)]
    return [
        max(minimum, round(length_s / total_s * columns))
        for length_s, minimum in zip(lengths_s, least, strict=True)
    ]


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    return " ".join(padded)


def _lane(pod: str, rounds: Sequence[Round], widths: Sequence[int]) -> str:
    cells: list[str] = []
    before: Round | None = None
    for one, width in zip(rounds, widths, strict=True):
        if pod in one.members:
            cells.append(RANK_DIGITS[one.members.index(pod) % len(RANK_DIGITS)] * width)
        elif before and pod in before.members and one.cause in {"lost", "left"}:
            cells.append("x".ljust(width))
        else:
            cells.append(" " * width)
        before = one
    return " ".join(cells)
