"""Where a job's rendezvous store is reached."""

from __future__ import annotations

from typing import Final

from elasticjob_operator import api
from elasticjob_operator.provisioning import names

CLIENT_PORT: Final = 2379
PEER_PORT: Final = 2380
HEALTH_PORT: Final = 2381
"""Where a member of the store tells how it is, also while it waits for the others."""

TCP_STORE_PORT: Final = 29400
BRIDGE_PORT: Final = 29401


def store_urls(job: api.ElasticJob, address: str = "") -> tuple[str, ...]:
    """Return where the operator reaches the store, at its Service's ``address`` once it is known.

    The Service leads to a member that is ready; of several, their own names go round it.
    """
    if not names.has_own_store(job):
        return job.spec.rendezvous.etcd.endpoints
    service = _in_url(address or store_host(job))
    members = _members(job) if len(names.members(job)) > 1 else ()
    return (f"https://{service}:{CLIENT_PORT}", *members)


def bridge_url(job: api.ElasticJob, address: str = "") -> str:
    """Return where the operator reaches the host of a TCPStore, at its Service's ``address``."""
    service = _in_url(address or f"{names.bridge(job)}.{job.metadata.namespace}.svc")
    return f"http://{service}:{BRIDGE_PORT}"


def worker_endpoint(job: api.ElasticJob, index: int = 0) -> str:
    """Return where the worker of this index reaches the store, as torchrun is told.

    Each begins with another member of the job's own store, so that they share the work.
    """
    if names.has_host(job):
        return f"c10d://{store_host(job)}:{TCP_STORE_PORT}"
    urls = store_urls(job)
    if len(names.members(job)) > 1:
        urls = _members(job)
        first = index % len(urls)
        urls = (*urls[first:], *urls[:first])
    scheme = "etcds" if urls[0].startswith("https:") else "etcd"
    return f"{scheme}://{';'.join(url.partition('://')[2] for url in urls)}"


def peer_url(job: api.ElasticJob, member: str) -> str:
    """Return where the other members of the store reach this one."""
    return f"https://{member_host(job, member)}:{PEER_PORT}"


def store_host(job: api.ElasticJob) -> str:
    """Return the name of the Service in front of the job's own store."""
    return f"{names.store(job)}.{job.metadata.namespace}.svc"


def member_host(job: api.ElasticJob, member: str) -> str:
    """Return the name of one of several members, which stays when its pod is replaced."""
    return f"{member}.{names.peers(job)}.{job.metadata.namespace}.svc"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _members(job: api.ElasticJob) -> tuple[str, ...]:
    hosts = (member_host(job, member) for member in names.members(job))
    return tuple(f"https://{host}:{CLIENT_PORT}" for host in hosts)
