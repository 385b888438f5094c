"""The thread that tells the store how far the workers of this node have come."""

from __future__ import annotations

import logging
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rdzv_client import wire
from rdzv_client.backends import StoreUnavailable
from rdzv_client.progress.folder import Folder, Said

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
TELL_EVERY_S: Final = 2.0
WRITES_PER_S: Final = 50.0
"""Of all members of a round together: those of a large one tell less often, but for rank 0."""
LEAST_SAMPLES: Final = 5
_SAMPLES: Final = 30


@dataclass(frozen=True)
class Place:
    """The member's place in the round that it works in."""

    round: int
    rank: int
    world_size: int

    @property
    def period_s(self) -> float:
        """How much time is between two words of this member, at least."""
        return max(TELL_EVERY_S, self.world_size / WRITES_PER_S if self.rank else 0.0)


class Herald:
    """Tells of progress while the member is in a round, and never when there is no news.

    Args:
        folder: Where the workers say how far they have come.
        member: The member's id.
        tell: Writes it into the store; returns whether it is written.
    """

    def __init__(self, folder: Folder, member: str, tell: Callable[[wire.Progress], bool]) -> None:
        self._folder, self._member, self._tell = folder, member, tell
        self._place: Place | None = None
        self._told: Said | None = None
        self._due = 0.0
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def pause(self) -> None:
        """Take note that the round is over, and that no worker runs."""
        self._place = None
        self._folder.clear()

    def begin(self, place: Place) -> None:
        """Take note that the workers of a new round are about to start."""
        self._told, self._due = None, 0.0
        self._samples.clear()
        self._place = place
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rendezvous-herald", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Tell the last of it; nothing is told after that."""
        self._ended.set()
        if self._thread:
            self._thread.join(LOOK_EVERY_S)

    def _run(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            self._look()
        self._due = 0.0
        self._look()

    def _look(self) -> None:
        place = self._place
        said = self._folder.furthest() if place else None
        if place is None or said is None or said == self._told:
            return
        if said.step_s is not None:
            self._samples.append(said.step_s)
        now = time.monotonic()
        if now < self._due:
            return
        try:
            if self._tell(self._progress(place, said)):
                self._told, self._due = said, now + place.period_s
        except StoreUnavailable as error:
            log.debug("The store could not be told of progress: %s", error)

    def _progress(self, place: Place, said: Said) -> wire.Progress:
        return wire.Progress(
            id=self._member,
            round=place.round,
            step=said.step,
            epoch=said.epoch,
            metrics=said.metrics,
            steps_per_second=_pace(self._told, said),
            step_s=self._usual_s(),
        )

    def _usual_s(self) -> float | None:
        """Return the median of what steps took lately; the first ones are not like the others."""
        if len(self._samples) < LEAST_SAMPLES:
            return None
        return float(f"{statistics.median(self._samples):.3g}")


def _pace(before: Said | None, now: Said) -> float | None:
    """Return the steps per second between two words, where that can be said."""
    if before is None or now.step <= before.step or now.at <= before.at:
        return None
    return float(f"{(now.step - before.step) / (now.at - before.at):.3g}")
