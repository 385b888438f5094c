"""How things are at the moment when Prometheus asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from elasticjob_operator.watches import Watches
from elasticjob_operator.workqueue import WorkQueue

Status = Mapping[str, Any]


class Gauges(Collector):
    """What Prometheus is told; of the jobs by the leader alone, so that sums are right.

    Args:
        leads: Whether this operator leads.
        queue: The jobs that need a look.
        watches: What is heard from the API server.
        statuses: Returns the jobs' statuses, as they are stored.
    """

    def __init__(
        self,
        leads: Callable[[], bool],
        queue: WorkQueue,
        watches: Watches,
        statuses: Callable[[], Iterable[Status]],
    ) -> None:
        self._leads, self._queue, self._watches, self._statuses = leads, queue, watches, statuses

    def collect(self) -> Iterator[Metric]:
        """Return all of it."""
        leads = self._leads()
        yield _one("elasticjob_leader", "1 where the work is done.", leads)
        words = "Since something came on the watch of a resource; a bookmark comes every 60 s."
        silence = self._watches.silence_s().items()
        yield _some("elasticjob_watch_silence_seconds", words, "resource", silence)
        if leads:
            yield from work(self._queue)
            yield from fleet(self._statuses())


def work(queue: WorkQueue) -> Iterator[Metric]:
    """Return how much there is to do."""
    busy_s = queue.busy_s().values()
    yield _one("elasticjob_workqueue_depth", "Jobs that wait for a look.", queue.depth)
    yield _one("elasticjob_workqueue_busy", "Jobs that are looked after.", len(busy_s))
    words = "How long the longest of these looks takes already."
    yield _one("elasticjob_workqueue_busy_seconds", words, max(busy_s, default=0.0))


def fleet(statuses: Iterable[Status]) -> Iterator[Metric]:
    """Return how the jobs are, all together."""
    phases: Counter[str] = Counter()
    workers = {"there": 0, "running": 0, "in_round": 0, "waiting": 0}
    unreachable = stragglers = 0
    for status in statuses:
        phases[status.get("phase", "Pending")] += 1
        if status.get("completionTime"):
            continue
        rendezvous = status.get("rendezvous", {})
        stragglers += len(status.get("progress", {}).get("stragglers", ()))
        workers["there"] += status.get("replicas", 0) + status.get("spares", 0)
        workers["running"] += status.get("active", 0)
        workers["in_round"] += status.get("ready", 0)
        workers["waiting"] += rendezvous.get("waiting", 0)
        unreachable += rendezvous.get("state") == "Unknown" and status.get("phase") != "Suspended"
    yield _some("elasticjob_jobs", "Jobs, by phase.", "phase", sorted(phases.items()))
    words = (
        "Workers of jobs that go on: pods that are there, those that run, members of the round "
        "that stands, and members that wait for one."
    )
    yield _some("elasticjob_workers", words, "state", workers.items())
    words = "Jobs that go on and whose store does not answer, or not yet."
    yield _one("elasticjob_stores_unreachable", words, unreachable)
    words = "Workers of jobs that go on which take much longer for a step than their peers."
    yield _one("elasticjob_stragglers", words, stragglers)


def _one(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _some(name: str, words: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family
