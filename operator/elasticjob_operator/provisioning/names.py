"""The names of what is made for a job besides its workers."""

from __future__ import annotations

from elasticjob_operator import api


def has_own_store(job: api.ElasticJob) -> bool:
    """Return whether the operator runs the store for this job."""
    return not job.spec.rendezvous.etcd.endpoints


def has_own_etcd(job: api.ElasticJob) -> bool:
    """Return whether that store is an etcd."""
    return has_own_store(job) and not has_host(job)


def has_host(job: api.ElasticJob) -> bool:
    """Return whether that store is a TCPStore in a host."""
    return job.spec.rendezvous.backend == "c10d"


def store(job: api.ElasticJob) -> str:
    """Return the name of the store's StatefulSet and of the Service in front of it."""
    return f"{job.metadata.name}-rdzv"


def member(job: api.ElasticJob, ordinal: int) -> str:
    """Return the name of a store's pod, which is also the member's in the store."""
    return f"{store(job)}-{ordinal}"


def members(job: api.ElasticJob) -> tuple[str, ...]:
    """Return the names of all pods of the job's own store."""
    return tuple(member(job, ordinal) for ordinal in range(job.spec.rendezvous.etcd.members))


def peers(job: api.ElasticJob) -> str:
    """Return the name of the Service that gives each of several members a name of its own."""
    return f"{store(job)}-peers"


def bridge(job: api.ElasticJob) -> str:
    """Return the name of the Service by which the operator reaches the host of a TCPStore."""
    return f"{store(job)}-bridge"


def operators_service(job: api.ElasticJob) -> str:
    """Return the name of the Service by which the operator reaches the job's own store."""
    return bridge(job) if has_host(job) else store(job)


def service_account(job: api.ElasticJob) -> str:
    return f"{job.metadata.name}-worker"


def workers_policy(job: api.ElasticJob) -> str:
    """Return the name of the network policy in front of the workers."""
    return f"{job.metadata.name}-worker"
