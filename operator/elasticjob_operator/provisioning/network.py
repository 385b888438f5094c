"""Who may reach a job's pods: its own workers, the operator, and nobody else.

What workers may reach is not limited, and policies add up: a user who wants more in, such as a
collector of metrics, makes a policy that says so.
"""

from __future__ import annotations

from typing import Final

from elasticjob_operator import api, labels
from elasticjob_operator.provisioning import names
from elasticjob_operator.provisioning.addresses import (
    BRIDGE_PORT,
    CLIENT_PORT,
    PEER_PORT,
    TCP_STORE_PORT,
)
from elasticjob_operator.provisioning.objects import Manifest, owned
from elasticjob_operator.settings import Settings

DNS_PORTS: Final = (53, 5353)
"""A policy sees the port of the DNS server's pod, which some distributions put at 5353."""


def manifests(job: api.ElasticJob, settings: Settings) -> tuple[Manifest, ...]:
    """Return the job's policies; none where the operator does not know how to let itself in."""
    if job.spec.network_policy == "None" or not settings.operator_namespace:
        return ()
    workers = _policy(job, names.workers_policy(job), labels.WORKER)
    workers["spec"] |= {
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [_pods(job, labels.WORKER)]}],
    }
    return (workers, _store(job, settings)) if names.has_own_store(job) else (workers,)


def _store(job: api.ElasticJob, settings: Settings) -> Manifest:
    store = _policy(job, names.store(job), labels.STORE)
    operator = {
        "namespaceSelector": {
            "matchLabels": {"kubernetes.io/metadata.name": settings.operator_namespace}
        },
        "podSelector": {"matchLabels": {labels.NAME: labels.OPERATOR}},
    }
    workers, peers = _pods(job, labels.WORKER), _pods(job, labels.STORE)
    if names.has_host(job):
        ingress = [_opens([workers], TCP_STORE_PORT), _opens([operator], BRIDGE_PORT)]
    else:
        ingress = [_opens([workers, operator], CLIENT_PORT), _opens([peers], PEER_PORT)]
    to_peers = [] if names.has_host(job) else [{"to": [peers], "ports": [_port(PEER_PORT)]}]
    store["spec"] |= {
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
        "egress": [
            *to_peers,
            {"ports": [_port(port, kind) for port in DNS_PORTS for kind in ("UDP", "TCP")]},
        ],
    }
    return store


def _opens(sources: list[Manifest], port: int) -> Manifest:
    return {"from": sources, "ports": [_port(port)]}


def _policy(job: api.ElasticJob, name: str, role: str) -> Manifest:
    policy = owned(job, "networking.k8s.io/v1", "NetworkPolicy", name, role)
    policy["spec"] = {"podSelector": labels.these(job.metadata.name, role)}
    return policy


def _pods(job: api.ElasticJob, role: str) -> Manifest:
    return {"podSelector": labels.these(job.metadata.name, role)}


def _port(number: int, protocol: str = "TCP") -> Manifest:
    return {"port": number, "protocol": protocol}
