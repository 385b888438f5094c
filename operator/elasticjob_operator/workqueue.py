"""Which jobs need a look: each at most once in the queue and at most once in work.

A key that is added while it is in work is looked at again afterwards, so no change is missed and
no job is ever reconciled twice at the same time. A key whose work fails comes back after a delay
that doubles, and does not hold up the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from elasticjob_operator import backoff

log = logging.getLogger(__name__)

BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MAX_S: Final = 60.0


class Retry(Exception):
    """The work could not be done now; the text says why."""


class Key(NamedTuple):
    """A job's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


Work = Callable[[Key], Awaitable[float | None]]
"""Looks after a job; returns the seconds after which to look again unasked, or None."""


class WorkQueue:
    """The jobs that need a look."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._dirty: set[Key] = set()
        self._busy: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def add(self, key: Key) -> None:
        """Have the job looked at as soon as possible."""
        self._stop_timer(key)
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._busy:
            self._ready.put_nowait(key)

    def add_after(self, key: Key, delay_s: float) -> None:
        """Have the job looked at after a while, or sooner if it is added in between."""
        self._stop_timer(key)
        self._timers[key] = asyncio.get_running_loop().call_later(delay_s, self.add, key)

    async def run(self, work: Work, workers: int) -> None:
        """Look after jobs until cancelled, ``workers`` of them at a time."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(workers):
                tasks.create_task(self._worker(work), name=f"reconciler {number}")

    async def _worker(self, work: Work) -> None:
        while True:
            key = await self._ready.get()
            self._dirty.discard(key)
            self._busy.add(key)
            try:
                delay_s = await self._attempt(work, key)
            finally:
                self._busy.discard(key)
            if key in self._dirty:
                self._ready.put_nowait(key)
            elif delay_s is not None:
                self.add_after(key, delay_s)

    async def _attempt(self, work: Work, key: Key) -> float | None:
        try:
            delay_s = await work(key)
        except Retry as error:
            delay_s = self._backoff_s(key)
            log.warning("%s: %s; again in %.1f s", key, error, delay_s)
        except Exception:  # one broken job must not hold up the others
            delay_s = self._backoff_s(key)
            log.exception("%s: the operator has a fault here; again in %.1f s", key, delay_s)
        else:
            self._failures.pop(key, None)
        return delay_s

    def _backoff_s(self, key: Key) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return backoff.delay_s(BACKOFF_FIRST_S, failures, BACKOFF_MAX_S)

    def _stop_timer(self, key: Key) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()
