"""Who of several operators works: the one that holds the lease.

The others watch, answer probes and wait. A leader that could not renew its lease for
``RENEW_LIMIT_S`` stops before another may start, also when its whole process stood still
meanwhile: every write asks :meth:`Leadership.holds` first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from time import monotonic
from typing import Final

from elasticjob_operator import cluster, lease

log = logging.getLogger(__name__)

RENEW_LIMIT_S: Final = 10.0
RETRY_S: Final = 2.0
ANSWER_S: Final = 5.0
"""These and the lease's 15 s are client-go's defaults; between 10 and 15 nobody leads."""


class LeadershipLost(Exception):
    """Another may lead from now on; the text says why."""


class Leadership:
    """One operator's claim to a lease."""

    def __init__(
        self, the_cluster: cluster.Cluster, namespace: str, name: str, identity: str = ""
    ) -> None:
        self.identity = identity or f"{os.uname().nodename}_{uuid.uuid4()}"
        self._cluster = the_cluster
        self._namespace, self._name = namespace, name
        self._held: lease.Manifest | None = None
        self._until = 0.0
        self._seen: lease.Sighting | None = None
        self._words = ""

    def holds(self) -> bool:
        """Return whether this operator leads now, for certain."""
        return self._held is not None and monotonic() < self._until

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait until it is this operator's turn, then do the work for as long as it is.

        Raises:
            LeadershipLost: the lease could not be renewed in time.
        """
        await self._acquire()
        log.info("leading as %s", self.identity)
        tasks = [asyncio.ensure_future(work()), asyncio.ensure_future(self._keep())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def release(self) -> None:
        """Give the lease back when the work has ended, so that the next takes over at once."""
        if self._held is None or not self.holds():
            return
        free = lease.released(self._held, datetime.now(timezone.utc))
        self._held = None
        try:
            await self._cluster.replace(free, timeout_s=ANSWER_S)
            log.info("gave the lease back")
        except cluster.ClusterError as error:
            log.warning("the lease was not given back: %s", error)

    async def _acquire(self) -> None:
        # Nobody tells of a lease that was not renewed: it is seen by looking.
        while not await self._attempt(self._try_to_take):  # noqa: ASYNC110
            await asyncio.sleep(RETRY_S)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RETRY_S)
            await self._attempt(self._renew)
            if not self.holds():
                why = self._words or f"this process did not come to it for {RENEW_LIMIT_S:g} s"
                raise LeadershipLost(
                    f"the lease {self._namespace}/{self._name} was not renewed: {why}"
                )

    async def _attempt(self, step: Callable[[], Awaitable[bool]]) -> bool:
        try:
            done = await step()
        except cluster.ClusterError as error:
            if str(error) != self._words:
                log.warning("the lease %s/%s: %s", self._namespace, self._name, error)
            self._words = str(error)
            return False
        self._words = ""
        return done

    async def _try_to_take(self) -> bool:
        began = monotonic()
        found = await self._cluster.get(
            lease.VERSION, lease.KIND, self._namespace, self._name, timeout_s=ANSWER_S
        )
        now = datetime.now(timezone.utc)
        if found is None:
            first = lease.new(self._namespace, self._name, self.identity, now)
            return await self._take(self._cluster.create(first, timeout_s=ANSWER_S), began)
        before = self._seen
        self._seen = lease.see(found, before, monotonic())
        if not self._seen.is_free(monotonic()):
            if before is None or before.holder != self._seen.holder:
                log.info("%s leads; standing by", self._seen.holder)
            return False
        mine = lease.taken(found, self.identity, now)
        return await self._take(self._cluster.replace(mine, timeout_s=ANSWER_S), began)

    async def _take(self, writing: Awaitable[lease.Manifest], began: float) -> bool:
        try:
            self._held = await writing
        except cluster.Refused as error:
            if error.status == 409:  # another was faster
                return False
            raise
        self._until = began + RENEW_LIMIT_S
        return True

    async def _renew(self) -> bool:
        """Prolong the lease; it counts from before the asking, since nobody knows when it took."""
        if self._held is None or not self.holds():
            return False
        began, now = monotonic(), datetime.now(timezone.utc)
        mine = lease.renewed(self._held, now)
        try:
            self._held = await self._cluster.replace(mine, timeout_s=ANSWER_S)
        except cluster.Refused as error:
            if error.status not in {404, 409}:
                raise
            # An answer may have been lost, and its write not. Else it is another's by now.
            found = await self._cluster.get(
                lease.VERSION, lease.KIND, self._namespace, self._name, timeout_s=ANSWER_S
            )
            holder = lease.see(found, None, 0.0).holder if found else ""
            if found is None or holder != self.identity:
                self._until = 0.0
                words = f"{holder or 'nobody'} holds it"
                raise cluster.Refused(error.status, error.reason, words) from error
            self._held = found
            return False
        self._until = began + RENEW_LIMIT_S
        return True
