"""A rendezvous backend within one process, for tests of what uses a rendezvous."""

from __future__ import annotations

import threading


class MemoryBackend:
    """Holds one value in memory (has the methods of ``RendezvousBackend``).

    All handlers of a run in this process share one::

        backend = MemoryBackend()
        handlers = [create_handler(None, backend, params) for _ in range(2)]

    Args:
        name: The backend's name.
    """

    def __init__(self, name: str = "memory") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._state: tuple[bytes, int] | None = None
        self._writes = 0

    @property
    def name(self) -> str:
        return self._name

    def get_state(self) -> tuple[bytes, int] | None:
        """Return the value and its token; None when there is none."""
        with self._lock:
            return self._state

    def set_state(self, state: bytes, token: int | None = None) -> tuple[bytes, int, bool] | None:
        """Set the value if the token is that of the one there is, or None and there is none."""
        with self._lock:
            current = self._state[1] if self._state else None
            if token == current:
                self._writes += 1
                self._state = (state, self._writes)
            return (*self._state, token == current) if self._state else None

    def empty(self) -> None:
        """Forget the value."""
        with self._lock:
            self._state = None
