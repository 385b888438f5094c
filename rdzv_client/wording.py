"""Words that reasons are made of (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rdzv_client import wire

_SHOWN: Final = 4


def names(who: Iterable[wire.Member | wire.Rank]) -> str:
    """Return the names of members or ranks, at most four of them and how many more."""
    return some([one.name for one in who])


def some(words: Sequence[str]) -> str:
    """Return words as a list, at most four of them and how many more."""
    shown = ", ".join(words[:_SHOWN])
    return shown if len(words) <= _SHOWN else f"{shown} and {len(words) - _SHOWN} more"


def count(n: int, noun: str) -> str:
    """Return the number with the noun, which is one that takes an s in the plural."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def bounds(member: wire.Member, noun: str = "") -> str:
    """Return the bounds that a member was started with, such as ``2:4 nodes in steps of 2``."""
    step = f" in steps of {member.step}" if member.step > 1 else ""
    return f"{member.min_nodes}:{member.max_nodes}{noun}{step}"
