"""Which jobs need a look: each at most once in the queue and at most once in work.

A key that is added while it is in work is looked at again afterwards, so no change is missed and
no job is ever reconciled twice at the same time. A key whose work fails comes back after a delay
that doubles, and does not hold up the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from time import monotonic
from typing import Final, NamedTuple

from elasticjob_operator import backoff, metrics

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

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._dirty: set[Key] = set()
        self._busy: dict[Key, float] = {}
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
            with self.in_work(key):
                delay_s = await self._attempt(work, key)
            if key in self._dirty:
                self._ready.put_nowait(key)
            elif delay_s is not None:
                self.add_after(key, delay_s)

    @contextlib.contextmanager
    def in_work(self, key: Key) -> Iterator[None]:
        """Within this, the job counts as looked after."""
        self._busy[key] = self._clock()
        try:
            yield
        finally:
            del self._busy[key]

    @property
    def depth(self) -> int:
        """How many jobs wait for a look."""
        return self._ready.qsize()

    def busy_s(self) -> dict[Key, float]:
        """Return the jobs in work, and for how long they have been."""
        now = self._clock()
        return {key: now - since for key, since in self._busy.items()}

    async def _attempt(self, work: Work, key: Key) -> float | None:
        began, result = self._clock(), "error"
        try:
            delay_s = await work(key)
            result = "ok"
        except Retry as error:
            result = "retry"
            delay_s = self._backoff_s(key)
            log.warning("%s: %s; again in %.1f s", key, error, delay_s)
        except Exception:  # one broken job must not hold up the others
            delay_s = self._backoff_s(key)
            log.exception("%s: the operator has a fault here; again in %.1f s", key, delay_s)
        else:
            self._failures.pop(key, None)
        finally:
            metrics.RECONCILES.labels(result).observe(self._clock() - began)
        return delay_s

    def _backoff_s(self, key: Key) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return backoff.delay_s(BACKOFF_FIRST_S, failures, BACKOFF_MAX_S)

    def _stop_timer(self, key: Key) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()
