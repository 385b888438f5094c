"""The names of what is made for a job besides its workers."""

from __future__ import annotations

from elasticjob_operator import api


def has_own_store(job: api.ElasticJob) -> bool:
    """Return whether the operator runs the store for this job."""
    return not job.spec.rendezvous.etcd.endpoints


def store(job: api.ElasticJob) -> str:
    """Return the name of the store's StatefulSet and of the Service in front of it."""
    return f"{job.metadata.name}-rdzv"


def service_account(job: api.ElasticJob) -> str:
    return f"{job.metadata.name}-worker"
