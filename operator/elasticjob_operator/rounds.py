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
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from time import monotonic
from typing import Final

import aiohttp

from elasticjob_operator import api, metrics
from elasticjob_operator.mirror import Mirror
from elasticjob_operator.observed import Drained, StoreView
from elasticjob_operator.stores import C10dHost, Store, StoreError, Where, gateway
from elasticjob_operator.stores.c10d import HostedStore
from elasticjob_operator.stores.etcd import EtcdStore
from rdzv_client import wire

log = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 3.0
PROGRESS_EVERY_S: Final = 10.0
"""A job is looked after at most so often for nothing but how far its training has come."""


class Rounds:
    """The stores of all jobs, by the job's UID."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._links: dict[str, Link] = {}

    def follow(
        self, uid: str, where: Where, told: api.RendezvousStatus, changed: Callable[[], None]
    ) -> Link:
        """Watch this job's store from now on, if that is not so yet.

        Args:
            uid: The job's UID.
            where: Where the store is.
            told: What the status says: of which run, and up to where it is recorded.
            changed: Called whenever the view has changed.
        """
        link = self._links.get(uid)
        if link and link.is_for(where, told.run_id):
            return link
        self.unfollow(uid)
        if self._session is None:
            self._session = gateway.session()
        store = _open(self._session, where, told)
        link = self._links[uid] = Link(store, where, told.run_id, changed)
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


def _open(session: aiohttp.ClientSession, where: Where, told: api.RendezvousStatus) -> Store:
    keys = wire.Keys(told.run_id)
    if isinstance(where, C10dHost):
        return HostedStore(session, where, keys, told.round)
    return EtcdStore(gateway.Gateway(session, where.urls, where.access), keys, told.revision)


class Link:
    """One job's store."""

    def __init__(
        self, store: Store, where: Where, run_id: str, changed: Callable[[], None]
    ) -> None:
        self._store, self._where, self._run_id = store, where, run_id
        self._changed = changed
        self._mirror = Mirror(run_id)
        self._reachable = False
        self._heard_since: datetime | None = None
        self._problem = ""
        self._unwritten: dict[str, str] = {}
        self._drained: dict[str, Drained] = {}
        self._tried = asyncio.Event()
        self._wake = asyncio.Event()
        self._told_at = -PROGRESS_EVERY_S
        self._later: asyncio.TimerHandle | None = None
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"store {run_id}")

    def is_for(self, where: Where, run_id: str) -> bool:
        return (self._where, self._run_id) == (where, run_id)

    def stop(self) -> None:
        self._task.cancel()
        if self._later:
            self._later.cancel()

    @property
    def view(self) -> StoreView:
        """What the store holds, as far as it is known."""
        known = self._mirror.view(reachable=self._reachable, problem=self._problem)
        drains = {**known.drains, **self._drained}
        return dataclasses.replace(known, drains=drains, since=self._heard_since)

    @property
    def etcd(self) -> EtcdStore | None:
        """The store, if it is an etcd."""
        return self._store if isinstance(self._store, EtcdStore) else None

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
        await self._write({self._mirror.keys.settings: wire.encode(settings)})

    async def tell_sites(self, sites: Iterable[wire.Site]) -> None:
        """Write where nodes stand.

        Nothing waits for it for long. What was not written is not in the view, and so is tried
        again with the next look.
        """
        keys = self._mirror.keys
        try:
            await self._write({keys.site(site.node): wire.encode(site) for site in sites})
        except StoreError as error:
            log.warning("%s: the workers are not told where nodes stand: %s", self._run_id, error)

    async def mark_gone(self, uid: str, reason: str) -> None:
        """Take this pod out of the rendezvous, in one step, so that all hear it at once.

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
        await self._store.empty()

    async def _flush(self) -> None:
        keys = self._mirror.keys
        for uid, reason in list(self._unwritten.items()):
            gone = wire.Gone(uid, reason[:1024])
            await self._write({keys.gone(uid): wire.encode(gone)}, self._mirror.member_keys(uid))
            self._unwritten.pop(uid, None)
            log.info("%s: took the pod with UID %s out: %s", self._run_id, uid, reason)
        await self._flush_drains()

    async def _flush_drains(self) -> None:
        known, keys = self._mirror.drains, self._mirror.keys
        drains = [
            wire.Drain(uid, drained.reason[:1024])
            for uid, drained in self._drained.items()
            if uid not in known
        ]
        if drains:
            await self._write({keys.drain(d.uid): wire.encode(d) for d in drains})
            log.info("%s: asked %d pods to leave: %s", self._run_id, len(drains), drains[0].reason)

    async def _write(self, documents: Mapping[str, bytes], removed: Sequence[str] = ()) -> None:
        with metrics.timed(metrics.STORE_WRITES):
            await self._store.write(documents, removed)

    # --- what the operator hears ---

    async def _run(self) -> None:
        delay_s, heard = RETRY_FIRST_S, -1
        while True:
            try:
                async for _ in self._store.listen(self._mirror):
                    await self._flush()
                    delay_s = RETRY_FIRST_S
                    if heard == self._mirror.news:
                        self._tell_progress()
                        continue
                    heard = self._mirror.news
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
        self._tell()

    def _tell(self) -> None:
        if self._later:
            self._later.cancel()
        self._told_at, self._later = monotonic(), None
        self._changed()

    def _tell_progress(self) -> None:
        """Steps come all the time: they are told together, and with what else happens."""
        if self._later is None:
            due_s = max(0.0, self._told_at + PROGRESS_EVERY_S - monotonic())
            self._later = asyncio.get_running_loop().call_later(due_s, self._tell)


def _now() -> datetime:
    return datetime.now(timezone.utc)
