"""The store that the agents of one round share.

A new one is made for every round, by the agent with rank 0, so that nothing of an earlier round can
be read in a later one. What torchrun's agent waits for in it never outlasts the round: the wait for
a peer that was lost, or for a store that went with its host, ends when the round does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from torch.distributed import DistError, DistStoreError, Store, TCPStore

from rdzv_client import wire
from rdzv_client.rank_exchange import RankExchange

_EXIT_BARRIER: Final = "torchelastic/agent/terminal_state"
_SLICE: Final = timedelta(seconds=1)


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


def connect(address: wire.StoreAddress, attempt_s: float, timeout_s: float) -> TCPStore:
    """Connect to the store of a round.

    Args:
        address: Where it listens.
        attempt_s: For the connection.
        timeout_s: For any operation on it.

    Raises:
        DistError: it cannot be reached within ``attempt_s``.
    """
    store = TCPStore(
        host_name=address.host,
        port=address.port,
        is_master=False,
        wait_for_workers=False,
        timeout=timedelta(seconds=attempt_s),
    )
    store.set_timeout(timedelta(seconds=timeout_s))
    return store


class RoundStore(Store):  # type: ignore[misc]
    """A round's store as the agent uses it.

    Args:
        store: What it stands on.
        world_size: The members of the round.
        is_over: Whether the round has ended.
        finish: Called when the agent enters its exit barrier: its workers have ended with success.
        settled: Waits, at most so many seconds, until all have finished or the round has ended;
            returns whether that is so.
    """

    def __init__(
        self,
        store: TCPStore,
        world_size: int,
        is_over: Callable[[], bool],
        finish: Callable[[], None],
        settled: Callable[[float], bool],
    ) -> None:
        super().__init__()
        self._store, self._is_over = store, is_over
        self._finish, self._settled = finish, settled
        self._exchange = RankExchange(world_size)
        self._timeout: timedelta = store.timeout

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
        except DistStoreError:
            if time.monotonic() >= ends_at:
                raise
            return False
        return True
