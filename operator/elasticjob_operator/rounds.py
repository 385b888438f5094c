"""The jobs' rendezvous stores: one watch on each, and the few records that the operator writes.

The operator is told of a round by the watch, never by asking again and again. A store that does
not answer is tried again with a growing, jittered delay; what it held is kept until it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime, timezone
from typing import Final

import aiohttp

from elasticjob_operator import gateway
from elasticjob_operator.gateway import Gateway, StoreError
from elasticjob_operator.mirror import Mirror, formed_round
from elasticjob_operator.observed import Drained, FormedRound, StoreView
from rdzv_client import wire
from rdzv_client.etcdv3 import messages, requests

log = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 3.0
PAST_ROUNDS: Final = 256
TXN_OPERATIONS: Final = 100
"""etcd takes 128 in one transaction unless told otherwise."""


class Rounds:
    """The stores of all jobs, by the job's UID."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._links: dict[str, Link] = {}

    def follow(
        self, uid: str, urls: Sequence[str], run_id: str, since: int, changed: Callable[[], None]
    ) -> Link:
        """Watch this job's store from now on, if that is not so yet.

        Args:
            uid: The job's UID.
            urls: Where the store listens.
            run_id: The run within the store.
            since: The store's revision up to which its history is recorded.
            changed: Called whenever the view has changed.
        """
        link = self._links.get(uid)
        if link and link.is_for(urls, run_id):
            return link
        self.unfollow(uid)
        if self._session is None:
            self._session = gateway.session()
        link = self._links[uid] = Link(Gateway(self._session, urls), run_id, since, changed)
        return link

    def link(self, uid: str) -> Link | None:
        """Return the store of this job, if it is watched."""
        return self._links.get(uid)

    def unfollow(self, uid: str) -> None:
        """Watch this job's store no longer."""
        if link := self._links.pop(uid, None):
            link.stop()

    async def close(self) -> None:
        """Let go of all stores."""
        for uid in list(self._links):
            self.unfollow(uid)
        if self._session:
            await self._session.close()


class Link:
    """One job's store."""

    def __init__(
        self,
        store: Gateway,
        run_id: str,
        since: int,
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._run_id = run_id
        self._since = since
        self._changed = changed
        self._mirror = Mirror(run_id)
        self._reachable = False
        self._heard_since: datetime | None = None
        self._problem = ""
        self._unwritten: dict[str, str] = {}
        self._drained: dict[str, Drained] = {}
        self._tried = asyncio.Event()
        self._wake = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"store {run_id}")

    def is_for(self, urls: Sequence[str], run_id: str) -> bool:
        return (self._store.urls, self._run_id) == (tuple(urls), run_id)

    def stop(self) -> None:
        self._task.cancel()

    @property
    def view(self) -> StoreView:
        """What the store holds, as far as it is known."""
        known = self._mirror.view(reachable=self._reachable, problem=self._problem)
        drains = {**known.drains, **self._drained}
        return dataclasses.replace(known, drains=drains, since=self._heard_since)

    async def first_contact(self, timeout_s: float) -> None:
        """Wait until the store was reached, or was found not to answer, for the first time."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._tried.wait(), timeout_s)

    def retry_now(self) -> None:
        """End the wait before the next attempt: something has changed about the store."""
        self._wake.set()

    # --- what the operator writes ---

    async def write_settings(self, settings: wire.Settings) -> None:
        """Write the settings.

        Raises:
            StoreError: they were not written, or nobody knows.
        """
        await self._txn([messages.put(self._mirror.keys.settings, wire.encode(settings))])

    async def mark_gone(self, uid: str, reason: str) -> None:
        """Take this pod out of the rendezvous, in one transaction, so that all hear it at once.

        If the store does not answer now, it is told as soon as it does.
        """
        if self._mirror.is_out(uid):
            return
        self._unwritten[uid] = reason
        with contextlib.suppress(StoreError):
            await self._flush()

    async def drain(self, uids: Iterable[str], reason: str) -> None:
        """Ask these pods to leave in good order, all at once.

        Once chosen they stay chosen: if the store does not answer now, or forgets them, it is told
        (again) as soon as it does.
        """
        self._drained |= {uid: Drained(reason, _now()) for uid in uids}
        with contextlib.suppress(StoreError):
            await self._flush()

    async def empty(self) -> None:
        """Delete all that belongs to this run.

        Raises:
            StoreError: it was not deleted, or nobody knows.
        """
        self._unwritten.clear()
        self._drained.clear()
        await self._txn([messages.delete_prefix(self._mirror.keys.prefix)])

    async def _flush(self) -> None:
        keys = self._mirror.keys
        for uid, reason in list(self._unwritten.items()):
            gone = wire.encode(wire.Gone(uid, reason[:1024]))
            members = [messages.delete(key) for key in self._mirror.member_keys(uid)]
            await self._txn([messages.put(keys.gone(uid), gone), *members])
            self._unwritten.pop(uid, None)
            log.info("%s: took the pod with UID %s out: %s", self._run_id, uid, reason)
        await self._flush_drains()

    async def _flush_drains(self) -> None:
        known, keys = self._mirror.drains, self._mirror.keys
        unwritten = [uid for uid in self._drained if uid not in known]
        for first in range(0, len(unwritten), TXN_OPERATIONS):
            uids = unwritten[first : first + TXN_OPERATIONS]
            drains = [wire.Drain(uid, self._drained[uid].reason[:1024]) for uid in uids]
            await self._txn([messages.put(keys.drain(d.uid), wire.encode(d)) for d in drains])
            log.info("%s: asked %d pods to leave: %s", self._run_id, len(uids), drains[0].reason)

    async def _txn(self, operations: Sequence[messages.Op]) -> None:
        await self._store.call(requests.txn_request([], operations, []))

    # --- what the operator hears ---

    async def _run(self) -> None:
        delay_s = RETRY_FIRST_S
        while True:
            try:
                async for _ in self._listen():
                    delay_s = RETRY_FIRST_S
                    self._set_reachable(reachable=True, problem="")
            except StoreError as error:
                # A watch that was cut is tried again at once; only then is the store missed.
                if delay_s > RETRY_FIRST_S or not self._reachable:
                    self._set_reachable(reachable=False, problem=str(error))
            except Exception as error:  # a link that ends in silence would look healthy
                log.exception("%s: the operator has a fault here", self._run_id)
                self._set_reachable(reachable=False, problem=repr(error))
            self._wake.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                # Jitter: the stores of many jobs may have gone with one node.
                await asyncio.wait_for(self._wake.wait(), delay_s * random.uniform(0.5, 1.0))  # noqa: S311
            delay_s = min(delay_s * 2, RETRY_MAX_S)

    def _set_reachable(self, *, reachable: bool, problem: str) -> None:
        if reachable != self._reachable:
            self._heard_since = _now() if reachable else None
        self._reachable, self._problem = reachable, problem
        self._tried.set()
        self._changed()

    async def _listen(self) -> AsyncIterator[None]:
        """List all, then follow every change; yields whenever the mirror is up to date."""
        keys = self._mirror.keys
        listing = await self._store.call(requests.range_request(messages.get_prefix(keys.prefix)))
        await self._list(listing)
        await self._flush()
        watch = requests.watch_create(
            1, messages.prefix(keys.prefix), listing.revision + 1, prev_kv=False
        )
        async with self._store.watch(watch) as batches:
            async for batch in batches:
                if batch.canceled:
                    raise StoreError(f"the watch was cancelled: {batch.cancel_reason}")
                self._mirror.update(batch.events, batch.revision, _now())
                yield

    async def _list(self, listing: messages.RangeResult) -> None:
        self._since = max(self._since, self._mirror.revision)
        if listing.revision < self._since:
            self._since = 0  # an emptied store, or another one
        keys = self._mirror.keys
        past = await self._past_rounds() if any(kv.key == keys.round for kv in listing.kvs) else []
        self._mirror.reset(listing.kvs, listing.revision, _now())
        self._mirror.insert_past(past)

    async def _past_rounds(self) -> list[FormedRound]:
        """Walk back through the versions of the round record to the last one that was seen."""
        keys, past, revision = self._mirror.keys, list[FormedRound](), 0
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
        return (await self._store.call(request)).kvs


def _decoded(
    record: messages.KeyValue, ranks: Sequence[messages.KeyValue], revision: int
) -> FormedRound | None:
    try:
        round_ = wire.decode(wire.Round, record.key, record.value)
        placed = [wire.decode(wire.Rank, kv.key, kv.value) for kv in ranks]
    except wire.WireError:
        return None
    formed = formed_round(round_, placed, _now(), revision)
    return formed and dataclasses.replace(formed, late=True)


def _now() -> datetime:
    return datetime.now(timezone.utc)
