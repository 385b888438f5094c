"""What a run tells while it goes on, and how it waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

from benchmarks.comparison import NotMeasured

_LOOK_AGAIN_S: Final = 0.05


def say(line: str) -> None:
    """Tell where a long measurement is."""
    print(f"    {line}", file=sys.stderr, flush=True)


def until(condition: Callable[[], bool], what: str, limit_s: float) -> None:
    """Wait for something of which nobody tells.

    Raises:
        NotMeasured: it did not come within the time.
    """
    ends_at = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends_at:
            raise NotMeasured(f"{what}: not within {limit_s:g} s")
        time.sleep(_LOOK_AGAIN_S)
