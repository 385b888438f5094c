"""Which pods there should be: one for each index below spec.replicas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from elasticjob_operator import api, backoff, book, endings
from elasticjob_operator.observed import Observed
from elasticjob_operator.pod_facts import WorkerPod, by_age
from elasticjob_operator.policies import Facts, failures

SIDECAR_GRACE_S = 30.0
"""How long the containers beside a training that failed may take to end by themselves."""
OUTLIVED = "its training failed, and its other containers still run"


@dataclass(frozen=True)
class Wanted:
    """A pod to make: this index, this attempt."""

    index: int
    attempt: int


@dataclass(frozen=True)
class Unwanted:
    """A pod to delete, and why."""

    pod: WorkerPod
    reason: str


@dataclass(frozen=True)
class Scale:
    """What to make and delete now, and when to look again for pods that are backed off."""

    wanted: tuple[Wanted, ...] = ()
    unwanted: tuple[Unwanted, ...] = ()
    after_s: float | None = None


def scale(facts: Facts) -> Scale:
    """Return the pods to make and to delete so that each index below replicas has one."""
    observed, replicas = facts.observed, facts.observed.spec.replicas
    slots = _by_index(observed)
    wanted, delays = [], []
    for index in range(replicas):
        pods = slots.get(index, ())
        if any(pod.holds_slot for pod in pods):
            continue
        delay_s = backoff_s(pods[-1], facts.restarts, observed) if pods else 0.0
        if delay_s > 0:
            delays.append(delay_s)
        else:
            wanted.append(Wanted(index, book.next_attempt(facts.attempts, index)))
    outlived = {pod: sidecar_grace_s(pod, observed) for pod in _outlived(slots)}
    delays += [grace_s for grace_s in outlived.values() if grace_s > 0]
    unwanted = (
        *_surplus(slots, replicas),
        *_doubles(slots, replicas),
        *_old(slots),
        *(Unwanted(pod, OUTLIVED) for pod, grace_s in outlived.items() if grace_s == 0),
    )
    return Scale(tuple(wanted), unwanted, min(delays, default=None))


def backoff_s(last: WorkerPod, restarts: api.Restarts, observed: Observed) -> float:
    """Return how long the replacement of this pod must still wait.

    What the infrastructure took is replaced at once. A pod that failed by itself, or that its node
    refused to run, would do so again and again.
    """
    ending = endings.classify(last)
    if "own" in {ending.account, failures.judge(observed.spec, last, ending).account}:
        count = max(restarts.pod + restarts.ignored, 1)
    elif last.ended and not last.deleting and last.training.started_at is None:
        count = last.attempt + 1
    else:
        return 0.0
    policy = observed.spec.run_policy.backoff
    delay_s = backoff.delay_s(policy.initial_seconds, count, policy.max_seconds)
    due = last.ended_at + timedelta(seconds=delay_s)
    return max(0.0, (due - observed.now).total_seconds())


def sidecar_grace_s(pod: WorkerPod, observed: Observed) -> float:
    """Return how long this pod, whose training failed, may still keep its node's resources."""
    due = pod.ended_at + timedelta(seconds=SIDECAR_GRACE_S)
    return max(0.0, (due - observed.now).total_seconds())


def expected(facts: Facts, scaled: Scale) -> int:
    """Return how many workers run, or will within seconds; at most spec.maxReplicas."""
    leaving = {unwanted.pod.name for unwanted in scaled.unwanted}
    coming = sum(pod.expected and pod.name not in leaving for pod in facts.observed.pods)
    return min(coming + len(scaled.wanted), facts.observed.spec.max_replicas)


Slots = Mapping[int, list[WorkerPod]]


def _by_index(observed: Observed) -> Slots:
    slots: dict[int, list[WorkerPod]] = defaultdict(list)
    for pod in by_age(observed.pods):
        slots[pod.index].append(pod)
    return slots


def _surplus(slots: Slots, replicas: int) -> list[Unwanted]:
    why = f"scaled in to {replicas} replicas"
    return [
        Unwanted(pod, why)
        for index, pods in slots.items()
        if index >= replicas
        for pod in pods
        if not (pod.ended or pod.deleting)
    ]


def _doubles(slots: Slots, replicas: int) -> list[Unwanted]:
    """Two operators that overlapped for a moment may have made two pods for one index."""
    why = "another pod has the same index"
    doubles = []
    for index, pods in slots.items():
        live = [pod for pod in pods if not (pod.ended or pod.deleting)]
        if index < replicas:
            doubles += [Unwanted(pod, why) for pod in live[1:]]
    return doubles


def _old(slots: Slots) -> list[Unwanted]:
    """Of the failed pods of an index, the newest is kept for its log."""
    old = []
    for pods in slots.values():
        failed = [pod for pod in pods if pod.gone and not pod.deleting]
        old += [Unwanted(pod, "a newer failed pod of this index is kept") for pod in failed[:-1]]
    return old


def _outlived(slots: Slots) -> list[WorkerPod]:
    """The newest failed pod of each index, where containers beside the training still run."""
    failed = ([pod for pod in pods if pod.gone and not pod.deleting] for pods in slots.values())
    return [pod for pods in failed for pod in pods[-1:] if pod.occupied]
