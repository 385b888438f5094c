"""The keys of one round in etcd, through which its nodes exchange what they need."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from rdzv_client.etcd_store import EtcdStore
from rdzv_client.round_store import RoundStore


class EtcdRoundKeys(EtcdStore):
    """An :class:`EtcdStore` in which nobody waits longer than the round lasts.

    Args:
        keys: The keys.
        in_round: The same keys, as whoever is in the round uses them.
    """

    def __init__(self, keys: EtcdStore, in_round: RoundStore) -> None:
        super().__init__(keys.client, keys.prefix, lease=keys.lease)
        self._in_round = in_round

    @property
    def timeout(self) -> timedelta:
        return self._in_round.timeout

    def set_timeout(self, timeout: timedelta) -> None:
        self._in_round.set_timeout(timeout)

    def set(self, key: Any, value: Any) -> None:
        self._in_round.set(key, value)

    def get(self, key: Any) -> bytes:
        return self._in_round.get(key)

    def add(self, key: Any, num: int) -> int:
        return self._in_round.add(key, num)

    def wait(self, keys: Sequence[Any], override_timeout: timedelta | None = None) -> None:
        self._in_round.wait(list(keys), override_timeout)

    def multi_get(self, keys: Sequence[Any]) -> list[bytes]:
        return self._in_round.multi_get(keys)

    def multi_set(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        self._in_round.multi_set(keys, values)
