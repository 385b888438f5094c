"""The store that the agents of one round share.

A new one is made for every round, by the agent with rank 0, so that nothing of an earlier round can
be read in a later one. What torchrun's agent waits for in it never outlasts the round: the wait for
a peer that was lost, or for a store that went with its host, ends when the round does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from torch.distributed import DistError, DistStoreError, PrefixStore, Store, TCPStore

from rdzv_client import wire
from rdzv_client.rank_exchange import RankExchange

_EXIT_BARRIER: Final = "torchelastic/agent/terminal_state"
_SLICE: Final = timedelta(seconds=1)
_LOOK_AGAIN_S: Final = 0.05


class RoundOverError(DistStoreError):  # type: ignore[misc]
    """The round ended while something was waited for in its store."""


def bind(host: str, timeout_s: float) -> TCPStore:
    """Start a store on a free port.

    Args:
        host: The address the other agents will use.
        timeout_s: For any operation on it.
    """
    return TCPStore(
        host_name=host,
        port=0,
        is_master=True,
        wait_for_workers=False,
        multi_tenant=True,
        timeout=timedelta(seconds=timeout_s),
    )


class Connection:
    """The connection to a round's store, made when it is first needed.

    Not before: to connect may take seconds where no DNS answers, and with as many workers on each
    node as on all others the agents need not talk to each other at all.

    Args:
        address: Where the store listens.
        timeout_s: For the connection, and for any operation on it.
        store: The store itself, at the agent that hosts it.
    """

    def __init__(
        self, address: wire.StoreAddress, timeout_s: float, store: TCPStore | None = None
    ) -> None:
        self.timeout = timedelta(seconds=timeout_s)
        self._address, self._store = address, store
        self._error: DistError | None = None
        self._done = threading.Event()
        self._lock = threading.Lock()

    def open(self, is_over: Callable[[], bool]) -> TCPStore:
        """Return the store; connect to it if that was not done yet.

        Raises:
            RoundOverError: the round ended before it was reached.
            DistError: it cannot be reached.
        """
        with self._lock:
            if self._store is None:
                self._attempt(is_over)
            if self._store is None:
                assert self._error
                raise self._error
            return self._store

    def _attempt(self, is_over: Callable[[], bool]) -> None:
        """Connect in a thread of its own, for nothing else ends an attempt when the round does."""
        self._done.clear()
        threading.Thread(target=self._connect, name="round-store", daemon=True).start()
        while not self._done.wait(_LOOK_AGAIN_S):
            if is_over():
                raise RoundOverError("the round ended before its store was reached")

    def _connect(self) -> None:
        try:
            self._store = TCPStore(
                host_name=self._address.host,
                port=self._address.port,
                is_master=False,
                wait_for_workers=False,
                timeout=self.timeout,
            )
        except DistError as error:
            self._error = error
        finally:
            self._done.set()


class Standing:
    """In place of a connection, a store to which this agent is connected already.

    Args:
        store: The store; its own time-out counts.
    """

    def __init__(self, store: Store) -> None:
        self.timeout: timedelta = store.timeout
        self._store = store

    def open(self, is_over: Callable[[], bool]) -> Store:  # noqa: ARG002 - it is there
        """Return the store."""
        return self._store


class RoundStore(Store):  # type: ignore[misc]
    """A round's store as the agent uses it.

    Args:
        connection: What it stands on.
        world_size: The members of the round.
        is_over: Whether the round has ended.
        finish: Called when the agent enters its exit barrier: its workers have ended with success.
        settled: Waits, at most so many seconds, until all have finished or the round has ended;
            returns whether that is so.
    """

    def __init__(
        self,
        connection: Connection | Standing,
        world_size: int,
        is_over: Callable[[], bool],
        finish: Callable[[], None],
        settled: Callable[[float], bool],
    ) -> None:
        super().__init__()
        self._connection, self._is_over = connection, is_over
        self._finish, self._settled = finish, settled
        self._exchange = RankExchange(world_size)
        self._timeout = connection.timeout

    @property
    def _store(self) -> Store:
        return self._connection.open(self._is_over)

    @property
    def underlying_store(self) -> Store:
        """The store in which the keys lie; without their prefix, where they have one."""
        store = self._store
        return store.underlying_store if isinstance(store, PrefixStore) else store

    @property
    def timeout(self) -> timedelta:
        return self._timeout

    def set_timeout(self, timeout: timedelta) -> None:
        self._timeout = timeout

    def set(self, key: str, value: Any) -> None:
        self._exchange.note(key, value)
        try:
            self._store.set(key, value)
        except DistError as error:
            self._excuse(key, error)

    def get(self, key: str) -> bytes:
        try:
            self.wait([key])
            value: bytes = self._store.get(key)
        except DistError as error:
            self._excuse(key, error)
            return self._exchange.stand_in(key)
        return value

    def _excuse(self, key: str, error: DistError) -> None:
        """Go on if the fault comes from the end of the round, which may not be known here yet."""
        if not RankExchange.concerns(key) or not self._settled(self._timeout.total_seconds()):
            raise error

    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        return [self.get(key) for key in keys]

    def multi_set(self, keys: Sequence[str], values: Sequence[Any]) -> None:
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def add(self, key: str, amount: int) -> int:
        if key.startswith(_EXIT_BARRIER):
            self._finish()
            return 0
        total: int = self._store.add(key, amount)
        return total

    def check(self, keys: Sequence[str]) -> bool:
        there: bool = self._store.check(list(keys))
        return there

    def compare_set(self, key: str, expected: Any, desired: Any) -> bytes:
        stored: bytes = self._store.compare_set(key, expected, desired)
        return stored

    def delete_key(self, key: str) -> bool:
        deleted: bool = self._store.delete_key(key)
        return deleted

    def num_keys(self) -> int:
        keys: int = self._store.num_keys()
        return keys

    def wait(self, keys: Sequence[str], timeout: timedelta | None = None) -> None:
        """Wait for keys.

        Raises:
            RoundOverError: the round ended before they were there.
            DistStoreError: they were not there in time.
        """
        limit_s = (timeout or self._timeout).total_seconds()
        if any(key.startswith(_EXIT_BARRIER) for key in keys):
            if not self._settled(limit_s):
                raise DistStoreError(f"not all agents finished within {limit_s:g} s")
            return
        ends_at = time.monotonic() + limit_s
        while not self._wait_slice(keys, ends_at):
            if self._is_over():
                raise RoundOverError(f"the round ended while waiting for {', '.join(keys)}")

    def _wait_slice(self, keys: Sequence[str], ends_at: float) -> bool:
        left = timedelta(seconds=max(0.001, ends_at - time.monotonic()))
        try:
            self._store.wait(list(keys), min(left, _SLICE))
        except RuntimeError as error:
            if time.monotonic() >= ends_at or not _means_time_out(error):
                raise
            return False
        return True


def _means_time_out(error: RuntimeError) -> bool:
    """Whether a store that says so has waited in vain; a FileStore has no error of its own."""
    return isinstance(error, DistStoreError) or type(error) is RuntimeError
