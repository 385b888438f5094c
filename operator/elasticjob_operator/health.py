"""Whether the operator lives, and whether it may be counted on, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from elasticjob_operator.watches import Watches
from elasticjob_operator.workqueue import WorkQueue

WORK_LIMIT_S: Final = 900.0
"""No look after one job takes so long: every call that it makes ends within 20 s."""


class Verdict(Protocol):
    """What the probes answer: what is in the way, in words."""

    def stuck(self) -> list[str]:
        """Return what is beyond help but by a new start of the operator."""

    def unready(self) -> list[str]:
        """Return what is in the way of taking over, or of going on."""


class Starting:
    """What the probes answer before the API server has told what there is: nothing is stuck.

    An operator that is started while the API server is away waits for it; a new start would not
    help, and each one would make Kubernetes wait longer before the next.
    """

    def stuck(self) -> list[str]:
        return []

    def unready(self) -> list[str]:
        return ["the API server has not told yet what there is"]


class Health:
    """What the probes answer of an operator that has started.

    Args:
        watches: What is heard from the API server.
        queue: The jobs that need a look.
        silence_limit_s: A watch on which nothing came for longer is stuck.
    """

    def __init__(self, watches: Watches, queue: WorkQueue, silence_limit_s: float) -> None:
        self._watches, self._queue = watches, queue
        self._silence_limit_s = silence_limit_s

    def stuck(self) -> list[str]:
        return [*self._stuck_watches(), *self._stuck_jobs()]

    def unready(self) -> list[str]:
        waiting = [f"the {resource} were not listed yet" for resource in self._watches.unopened]
        return [*waiting, *self.stuck()]

    def _stuck_watches(self) -> Iterator[str]:
        limit_s = self._silence_limit_s
        for resource, silence_s in self._watches.stuck(limit_s).items():
            words = f"nothing was heard of {resource} for {silence_s:.0f} s"
            yield f"{words}, {limit_s:.0f} s is too long"

    def _stuck_jobs(self) -> Iterator[str]:
        for key, busy_s in self._queue.busy_s().items():
            if busy_s > WORK_LIMIT_S:
                yield f"{key} is in work for {busy_s:.0f} s, {WORK_LIMIT_S:.0f} s is too long"
