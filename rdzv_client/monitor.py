"""Waiting for something to become true of what several threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Monitor:
    """A lock over some state, and those who wait for something to hold of it.

    Who changes the state asks for each of them whether it holds now, and wakes only those for whom
    it does. With a condition variable all would wake, each to look for itself, and most in vain.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: dict[threading.Lock, Callable[[], bool]] = {}

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def notify(self) -> None:
        """Wake those whose condition holds by now; the lock is held."""
        for asleep, holds in list(self._waiting.items()):
            if holds():
                del self._waiting[asleep]
                asleep.release()

    def wait_for(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Wait, with the lock free, until a condition holds; return whether it did in time.

        Args:
            holds: Asked with the lock held, by this thread and by those that notify.
            timeout_s: How long to wait at most.
        """
        asleep = threading.Lock()
        with self._lock:
            if holds():
                return True
            asleep.acquire()
            self._waiting[asleep] = holds
        try:
            return asleep.acquire(timeout=min(max(timeout_s, 0.0), threading.TIMEOUT_MAX))
        finally:
            with self._lock:
                self._waiting.pop(asleep, None)
