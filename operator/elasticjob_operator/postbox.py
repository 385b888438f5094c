"""Events of one job that the API server has yet to take."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timezone
from typing import Final

from elasticjob_operator import api, cluster, events

log = logging.getLogger(__name__)

AGAIN_S: Final = 5.0


class Postbox:
    """Posts each event once it was put in, and keeps it until the API server has answered."""

    def __init__(self) -> None:
        self._waiting: list[cluster.Manifest] = []

    def put(self, job: api.ElasticJob, event: events.Event) -> None:
        """Take an event of what a status that is written tells, and log it."""
        where = f"{job.metadata.namespace}/{job.metadata.name}"
        level = logging.WARNING if event.kind == "Warning" else logging.INFO
        log.log(level, "%s: %s: %s", where, event.reason, event.message)
        now, suffix = datetime.now(timezone.utc), uuid.uuid4().hex[:16]
        self._waiting.append(events.manifest(event, job, now, suffix))

    async def post(self, connection: cluster.Cluster) -> float | None:
        """Post all that wait; return in how many seconds to try again, None when none is left.

        They are posted by one that leads no longer, too: they tell what it did, and nobody else
        will.
        """
        unfenced = connection.fenced(lambda: True)
        while self._waiting:
            event = self._waiting[0]
            try:
                await unfenced.create(event)
            except cluster.Refused as error:
                log.warning("The event %s was refused: %s", event["metadata"]["name"], error)
            except cluster.ClusterError as error:
                log.warning("%d events wait to be posted: %s", len(self._waiting), error)
                return AGAIN_S
            self._waiting.pop(0)
        return None
