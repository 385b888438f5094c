"""A run in an etcd, followed by one watch."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Final

from elasticjob_operator import store_members, testimony
from elasticjob_operator.mirror import Mirror, formed_round
from elasticjob_operator.observed import FormedRound
from elasticjob_operator.stores import StoreError
from elasticjob_operator.stores.gateway import Gateway
from rdzv_client import wire
from rdzv_client.etcdv3 import messages, requests

PAST_ROUNDS: Final = 256
TXN_OPERATIONS: Final = 100
"""etcd takes 128 in one transaction unless told otherwise."""


class EtcdStore:
    """One run (implements :class:`elasticjob_operator.stores.Store`).

    Args:
        gateway: The etcd.
        keys: The run's keys.
        since: The store's revision up to which its history is recorded.
    """

    def __init__(self, gateway: Gateway, keys: wire.Keys, since: int) -> None:
        self._gateway, self._keys, self._since = gateway, keys, since

    async def listen(self, mirror: Mirror) -> AsyncIterator[None]:
        """List all, then follow every change."""
        prefix = self._keys.prefix
        listing = await self._gateway.call(requests.range_request(messages.get_prefix(prefix)))
        await self._list(listing, mirror)
        watch = requests.watch_create(
            1, messages.prefix(prefix), listing.revision + 1, prev_kv=False
        )
        async with self._gateway.watch(watch) as batches:
            async for batch in batches:
                if batch.canceled:
                    raise StoreError(f"the watch was cancelled: {batch.cancel_reason}")
                mirror.update(batch.events, batch.revision, _now())
                yield

    async def write(self, documents: Mapping[str, bytes], removed: Sequence[str] = ()) -> None:
        """Write the documents; more than fit into one transaction in several."""
        operations: list[messages.Op] = []
        operations += [messages.put(key, document) for key, document in documents.items()]
        operations += [messages.delete(key) for key in removed]
        for first in range(0, len(operations), TXN_OPERATIONS):
            await self._txn(operations[first : first + TXN_OPERATIONS])

    async def empty(self) -> None:
        """Delete all that belongs to the run."""
        await self._txn([messages.delete_prefix(self._keys.prefix)])

    async def members(self) -> store_members.Members:
        """Return etcd's own members."""
        return await self._gateway.call(store_members.listing())

    async def readmit(self, peer_url: str) -> None:
        """Give the place of the member that is reached there to a new one, if that is not done."""
        known = store_members.at(peer_url, await self.members())
        if known and not known.started:
            return
        if known:
            await self._gateway.call(store_members.removal(known))
        await self._gateway.call(store_members.addition(peer_url))

    async def _txn(self, operations: Sequence[messages.Op]) -> None:
        await self._gateway.call(requests.txn_request([], operations, []))

    async def _list(self, listing: messages.RangeResult, mirror: Mirror) -> None:
        self._since = max(self._since, mirror.revision)
        if listing.revision < self._since:
            self._since = 0  # an emptied store, or another one
        there = any(kv.key == self._keys.round for kv in listing.kvs)
        past = await self._past_rounds() if there else []
        mirror.reset(listing.kvs, listing.revision, _now())
        mirror.insert_past(past)

    async def _past_rounds(self) -> list[FormedRound]:
        """Walk back through the versions of the round record to the last one that was seen."""
        keys, past, revision = self._keys, list[FormedRound](), 0
        for _ in range(PAST_ROUNDS):
            try:
                found = await self._at(messages.one(keys.round), revision)
                if not found or found[0].mod_revision <= self._since:
                    break
                revision = found[0].mod_revision
                ranks = await self._at(messages.prefix(keys.ranks), revision)
            except StoreError:
                break  # compacted: what is older is not to be had
            if formed := _decoded(found[0], ranks, revision):
                past.append(formed)
            revision -= 1
        return past

    async def _at(self, where: messages.KeyRange, revision: int) -> Sequence[messages.KeyValue]:
        request = requests.range_request(messages.Get(where, revision=revision))
        return (await self._gateway.call(request)).kvs


def _decoded(
    record: messages.KeyValue, ranks: Sequence[messages.KeyValue], revision: int
) -> FormedRound | None:
    try:
        round_ = testimony.read(wire.Round, record.key, record.value)
        placed = [testimony.read(wire.Rank, kv.key, kv.value) for kv in ranks]
    except wire.WireError:
        return None
    formed = formed_round(round_, placed, _now(), revision)
    return formed and dataclasses.replace(formed, late=True)


def _now() -> datetime:
    return datetime.now(timezone.utc)
