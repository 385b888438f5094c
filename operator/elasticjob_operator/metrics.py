"""What the operator counts, for Prometheus.

No label names a job or a pod, so the number of series does not grow with the cluster. What is
counted is read off facts where effects happen; nothing is ever decided by it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from time import monotonic
from typing import Final

import prometheus_client as prometheus

from elasticjob_operator import api

REGISTRY: Final = prometheus.CollectorRegistry()
CONTENT_TYPE: Final = prometheus.CONTENT_TYPE_LATEST

CALL_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
ROUND_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

ROUNDS: Final = prometheus.Counter(
    "elasticjob_rounds", "Rounds that were formed, by why.", ["cause"], registry=REGISTRY
)
FORMATION: Final = prometheus.Histogram(
    "elasticjob_round_formation_seconds",
    "From the end of the round before, or the first arrival, to the new round.",
    ["cause"],
    buckets=ROUND_SECONDS,
    registry=REGISTRY,
)
RESTARTS: Final = prometheus.Counter(
    "elasticjob_restarts",
    "What had to start again: worker and pod count against maxRestarts.",
    ["class"],
    registry=REGISTRY,
)
JOBS_ENDED: Final = prometheus.Counter(
    "elasticjob_jobs_ended", "Jobs that ended, by how.", ["result"], registry=REGISTRY
)
RECONCILES: Final = prometheus.Histogram(
    "elasticjob_reconcile_duration_seconds",
    "How long one look after one job took, by whether it is to be tried again.",
    ["result"],
    buckets=CALL_SECONDS,
    registry=REGISTRY,
)
STATUS_WRITES: Final = prometheus.Counter(
    "elasticjob_status_writes", "Statuses that were written.", registry=REGISTRY
)
STORE_WRITES: Final = prometheus.Histogram(
    "elasticjob_store_write_duration_seconds",
    "How long a write to a job's store took, by whether it was answered.",
    ["result"],
    buckets=CALL_SECONDS,
    registry=REGISTRY,
)
API_CALLS: Final = prometheus.Histogram(
    "elasticjob_api_request_duration_seconds",
    "How long calls of the API server took; of a watch, until it was opened.",
    ["verb", "resource", "code"],
    buckets=CALL_SECONDS,
    registry=REGISTRY,
)

prometheus.ProcessCollector(registry=REGISTRY)
prometheus.GCCollector(registry=REGISTRY)


def page() -> bytes:
    """Return all of it as Prometheus reads it."""
    return prometheus.generate_latest(REGISTRY)


def count_news(old: api.ElasticJobStatus, new: api.ElasticJobStatus) -> None:
    """Count what happened to a job between two statuses of it."""
    STATUS_WRITES.inc()
    for told in new.rendezvous.history:
        if told.round > old.rendezvous.round:
            ROUNDS.labels(told.cause).inc()
            FORMATION.labels(told.cause).observe(told.seconds)
    for name in ("worker", "pod", "infrastructure", "ignored"):
        more = getattr(new.restarts, name) - getattr(old.restarts, name)
        RESTARTS.labels(name).inc(max(0, more))
    if new.completion_time and not old.completion_time:
        JOBS_ENDED.labels(new.phase).inc()


@contextlib.contextmanager
def timed(histogram: prometheus.Histogram) -> Iterator[None]:
    """Take the time of what is done within, and whether it raised."""
    began, result = monotonic(), "error"
    try:
        yield
        result = "ok"
    finally:
        histogram.labels(result).observe(monotonic() - began)


def count_call(verb: str, path: str, code: str, seconds: float) -> None:
    """Count a call of the API server."""
    API_CALLS.labels(verb, resource(path), code).observe(seconds)


def resource(path: str) -> str:
    """Return which kind of thing a path of the API is about, with its subresource if any."""
    steps = path.strip("/").split("/")
    below = steps[3:] if steps[0] == "apis" else steps[2:]
    if below[:1] == ["namespaces"] and len(below) > 2:
        below = below[2:]
    kind = below[0] if below else "discovery"
    return f"{kind}/{below[2]}" if len(below) > 2 else kind
