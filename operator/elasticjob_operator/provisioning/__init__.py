"""What is made for a job besides its workers: a service account and the rendezvous store.

Everything is owned by the job, so that Kubernetes deletes it with the job, whether the operator is
there or not.
"""

from __future__ import annotations

from elasticjob_operator import api, labels
from elasticjob_operator.provisioning import etcd, names
from elasticjob_operator.provisioning.objects import Manifest, owned
from elasticjob_operator.settings import Settings


def manifests(job: api.ElasticJob, settings: Settings) -> tuple[Manifest, ...]:
    """Return what must be there before the first worker."""
    if not names.has_own_store(job):
        return (_account(job),)
    return (_account(job), *etcd.manifests(job, settings))


def _account(job: api.ElasticJob) -> Manifest:
    account = owned(job, "v1", "ServiceAccount", names.service_account(job), labels.WORKER)
    account["automountServiceAccountToken"] = False
    return account
