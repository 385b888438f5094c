"""What the operator shows to a job's store: of its own making, or out of a Secret of the user's.

A Secret of the user's is read again every while, and whenever the store does not answer, so that
what is renewed there is picked up. No right to watch Secrets is asked for.
"""

from __future__ import annotations

import logging
from base64 import b64decode
from dataclasses import dataclass
from time import monotonic
from typing import Final

from elasticjob_operator import api, cluster, rendezvous_spec
from elasticjob_operator.provisioning import addresses, credentials, names
from elasticjob_operator.settings import Settings
from elasticjob_operator.stores import access
from elasticjob_operator.stores.access import Access

log = logging.getLogger(__name__)

READ_AGAIN_S: Final = 60.0


@dataclass(frozen=True)
class Shown:
    """What is shown to one store.

    Attributes:
        access: None where there is nothing that could be.
        problem: Why not, as a sentence.
        read_at: When the Secret was read, on the monotonic clock.
    """

    access: Access | None
    problem: str = ""
    read_at: float = 0.0


class StoreAccess:
    """Knows what to show to which store."""

    def __init__(self, the_cluster: cluster.Cluster, settings: Settings) -> None:
        self._cluster = the_cluster
        self._settings = settings

    async def shown(self, job: api.ElasticJob, before: Shown | None, *, heard: bool) -> Shown:
        """Return what to show to the job's store.

        Args:
            job: The job.
            before: What was shown to it so far.
            heard: Whether the store answers to that; then it stays, should the Secret be gone.

        Raises:
            Unavailable: the Secret cannot be read now.
        """
        if names.has_own_store(job):
            return before or Shown(_own(job, self._settings))
        reference = job.spec.rendezvous.etcd.secret_ref
        if reference is None:
            return Shown(access.NOTHING)
        if before and heard and monotonic() - before.read_at < READ_AGAIN_S:
            return before
        found = await self._read(job, reference.name)
        if found.access is None and before and before.access and heard:
            log.warning("%s/%s: %s", job.metadata.namespace, job.metadata.name, found.problem)
            return Shown(before.access, read_at=found.read_at)
        return found

    async def _read(self, job: api.ElasticJob, name: str) -> Shown:
        namespace, now = job.metadata.namespace, monotonic()
        secret = f"the Secret {namespace}/{name} of rendezvous.etcd.secretRef"
        try:
            found = await self._cluster.get("v1", "Secret", namespace, name)
        except cluster.Refused as error:
            words = f"the operator may not read {secret}: its chart needs rbac.readSecrets=true"
            return Shown(None, words if error.status == 403 else f"{secret}: {error}", now)
        if found is None:
            return Shown(None, f"{secret} is not there", now)
        secure = any(url.startswith("https:") for url in job.spec.rendezvous.etcd.endpoints)
        try:
            content = {
                key: b64decode(value).decode()
                for key, value in (found.get("data") or {}).items()
                if key in rendezvous_spec.SECRET_KEYS
            }
            return Shown(access.from_secret(content, secure=secure), read_at=now)
        except UnicodeDecodeError:
            return Shown(None, f"{secret} holds what is no text", now)
        except ValueError as error:
            return Shown(None, f"{secret} {error}", now)


def _own(job: api.ElasticJob, settings: Settings) -> Access:
    if names.has_host(job):
        return Access(token=credentials.token_of_operator(job, settings))
    pair = credentials.of_operator(job, settings)
    return Access(
        pair.authority.decode(),
        pair.certificate.decode(),
        pair.key.decode(),
        addresses.store_host(job),
    )
