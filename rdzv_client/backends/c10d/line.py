"""A connection to the store that holds nobody when the store does not answer."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from typing import Any, Final, Protocol, TypeVar

from rdzv_client.backends import StoreUnavailable
from rdzv_client.backends.c10d.layout import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_S: Final = 12.0
"""How much longer a connection may take than an answer: torch looks up the name of its peer, and
where no DNS answers, the resolver gives up only after 5 s, twice."""


class Endpoint(Protocol):
    """Where the store is. Its methods raise ``RuntimeError`` or ``OSError`` when they fail."""

    @property
    def name(self) -> str:
        """Such as ``the store at 10.0.0.1:29400``, for errors."""

    def open(self) -> Store:
        """Open a connection, and host the store first if that falls to this process."""

    def connect(self) -> Store:
        """Open a connection to the store; somebody is known to host it."""

    def is_there(self) -> bool:
        """Whether somebody hosts the store at this moment."""


class Line:
    """One connection, with a thread of its own that makes all calls on it.

    A call on a TCPStore cannot be interrupted, and most have no time-out. So whoever calls waits
    for the answer only so long; then the connection and its thread are given up, and the next call
    opens new ones.

    Args:
        connect: Opens a connection; raises ``RuntimeError`` or ``OSError`` when it cannot.
        timeout_s: How long to wait for an answer; for the connection, :data:`CONNECT_S` longer.
        name: Of what is at the other end, for errors.
    """

    def __init__(
        self, connect: Callable[[], Store], timeout_s: float, name: str = "the store"
    ) -> None:
        self._connect, self._timeout_s, self._name = connect, timeout_s, name
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._given_up: list[_Worker] = []
        self._closed = False

    def call(
        self,
        job: Callable[[Store], T],
        timeout_s: float | None = None,
        *,
        answer_s: float | None = None,
    ) -> T:
        """Do a job on the connection, and return what it returns.

        Args:
            job: The job.
            timeout_s: For all of it, the connection included; None for the line's own.
            answer_s: For the answer, in place of the line's own time-out.

        Raises:
            StoreUnavailable: the store cannot be reached, or did not answer in time; the job may
                yet be done.
        """
        worker = self._open()
        limit_s = timeout_s
        if limit_s is None:
            limit_s = (answer_s or self._timeout_s) + (0.0 if worker.connected else CONNECT_S)
        try:
            return worker.submit(job).result(limit_s)
        except NotInTime:
            self._give_up(worker)
            raise StoreUnavailable(f"{self._name} did not answer within {limit_s:g} s") from None
        except (RuntimeError, OSError) as error:
            self._give_up(worker)
            words = first_line(error)
            named = words if self._name in words else f"{self._name}: {words}"
            raise StoreUnavailable(named) from error

    def close(self, wait_s: float = 0.0) -> None:
        """Let go of the connection. A job that is being done is done to its end.

        Args:
            wait_s: How long to wait for that at most.
        """
        self._closed = True
        if worker := self._worker:
            self._give_up(worker)
        ends_at = time.monotonic() + wait_s
        for worker in self._given_up:
            worker.join(max(0.0, ends_at - time.monotonic()))

    def is_busy(self) -> bool:
        """Whether a thread is still at a job of a connection that was given up."""
        return any(map(_Worker.is_alive, self._given_up))

    def _open(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the connection is closed")
            if self._worker is None:
                self._worker = _Worker(self._connect)
            return self._worker

    def _give_up(self, worker: _Worker) -> None:
        worker.end()
        with self._lock:
            self._given_up = [*filter(_Worker.is_alive, self._given_up), worker]
            if self._worker is worker:
                self._worker = None


class _Worker:
    """The thread. It ends with its first failure, and leaves no job unanswered."""

    def __init__(self, connect: Callable[[], Store]) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[Store], Any], Future[Any]] | None]
        self._jobs = queue.SimpleQueue()
        self._connect = connect
        self.connected = False
        self._thread = threading.Thread(target=self._work, name="rendezvous-store", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def submit(self, job: Callable[[Store], T]) -> Future[T]:
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    def end(self) -> None:
        self._jobs.put(None)

    def _work(self) -> None:
        store: Store | None = None
        while entry := self._jobs.get():
            job, future = entry
            try:
                store = store or self._connect()
                self.connected = True
                future.set_result(job(store))
            except BaseException as error:  # noqa: BLE001 - raised again where the job came from
                future.set_exception(error)


def first_line(error: BaseException) -> str:
    """Return the error's own words; torch adds its stack."""
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
