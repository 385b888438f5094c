"""What came of one situation for one contender."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """Whether the target was met, the figure that was measured, and what was seen in words."""

    ok: bool
    figure: str
    words: str
