"""Where a job's rendezvous store is reached."""

from __future__ import annotations

from typing import Final

from elasticjob_operator import api
from elasticjob_operator.provisioning import names

CLIENT_PORT: Final = 2379


def store_urls(job: api.ElasticJob, address: str = "") -> tuple[str, ...]:
    """Return where the store listens: at its Service's ``address``, where that is known."""
    if not names.has_own_store(job):
        return job.spec.rendezvous.etcd.endpoints
    host = address or f"{names.store(job)}.{job.metadata.namespace}.svc"
    host = f"[{host}]" if ":" in host else host
    return (f"http://{host}:{CLIENT_PORT}",)


def worker_endpoint(job: api.ElasticJob) -> str:
    """Return where the workers reach the store, as torchrun is told."""
    hosts = ";".join(url.removeprefix("http://") for url in store_urls(job))
    return f"etcd://{hosts}"
