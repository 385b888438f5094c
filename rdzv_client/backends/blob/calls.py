"""Calls that may block for ever, made so that who asked for them does not."""

from __future__ import annotations

import concurrent.futures
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from rdzv_client.backends import StoreUnavailable

T = TypeVar("T")
GivenUp = Callable[[], bool]

log = logging.getLogger(__name__)


class Calls:
    """Makes calls on a thread of its own, one after the other; it starts with the first.

    Args:
        name: The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._start = threading.Lock()
        self._stopped = False

    def make(self, call: Callable[[GivenUp], T], timeout_s: float) -> T:
        """Return what the call returns, or raise what it raises.

        Args:
            call: Is given a function that tells whether it was given up.
            timeout_s: After so long it is given up: not made at all if it has not begun.

        Raises:
            StoreUnavailable: it did not end in time.
        """
        request = _Call(call)
        with self._start:
            if self._stopped:
                raise StoreUnavailable("the rendezvous was left")
            if not self._thread.is_alive():
                self._thread.start()
            self._queue.put(request)
        done, _ = concurrent.futures.wait([request.result], timeout_s)
        if not done:
            request.given_up.set()
            raise StoreUnavailable(f"the backend did not answer within {timeout_s:g} s")
        result: T = request.result.result()
        return result

    def stop(self) -> None:
        """Make no further calls; returns at once."""
        with self._start:
            self._stopped = True
            self._queue.put(None)

    def _serve(self) -> None:
        while request := self._queue.get():
            request.make()


class _Call:
    def __init__(self, call: Callable[[GivenUp], Any]) -> None:
        self._call = call
        self.given_up = threading.Event()
        self.result: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def make(self) -> None:
        if self.given_up.is_set():
            return
        try:
            self.result.set_result(self._call(self.given_up.is_set))
        except Exception as error:  # noqa: BLE001 - it is raised where the call was asked for
            if self.given_up.is_set():
                log.debug("A call that was given up failed: %s", error)
            self.result.set_exception(error)
