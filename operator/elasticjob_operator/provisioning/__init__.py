"""What is made for a job besides its workers: account, gang, policies, store, Secrets.

Everything is owned by the job, so that Kubernetes deletes it with the job, whether the operator is
there or not.
"""

from __future__ import annotations

from elasticjob_operator import api, labels
from elasticjob_operator.provisioning import c10d, credentials, etcd, gang, names, network
from elasticjob_operator.provisioning.objects import Manifest, Reference, owned
from elasticjob_operator.settings import Settings


def manifests(
    job: api.ElasticJob, settings: Settings, *, joining: bool = False
) -> tuple[Manifest, ...]:
    """Return what must be there before the first worker.

    ``joining``: whether a new member is to join the store that is there.
    """
    around = (_account(job), *gang.manifests(job), *network.manifests(job, settings))
    if not names.has_own_store(job):
        return around
    if names.has_host(job):
        return (*around, *c10d.manifests(job, settings))
    secrets = credentials.manifests(job, settings)
    return (*around, *secrets, *etcd.manifests(job, settings, joining=joining))


def store_references(job: api.ElasticJob) -> tuple[Reference, ...]:
    """Return what is made for the job's own store, to take it away: the pods' owner comes last."""
    return c10d.references(job) if names.has_host(job) else etcd.references(job)


def _account(job: api.ElasticJob) -> Manifest:
    account = owned(job, "v1", "ServiceAccount", names.service_account(job), labels.WORKER)
    account["automountServiceAccountToken"] = False
    return account
