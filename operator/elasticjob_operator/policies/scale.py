"""Which pods there should be: as many as the spec says, each with an index of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from itertools import count, islice

from elasticjob_operator import blueprint, book
from elasticjob_operator.observed import Observed
from elasticjob_operator.pod_facts import WorkerPod, by_age
from elasticjob_operator.policies import Facts, refusals, replacement, retention, scale_in, size

SIDECAR_GRACE_S = 30.0
"""How long the containers beside a training that failed may take to end by themselves."""
OUTLIVED = "its training failed, and its other containers still run"
OVERTAKEN = "the job was edited since the pod was made"
LEFT = "scaled in, and it has left the round"

Slots = Mapping[int, list[WorkerPod]]


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
    """What to make and delete now.

    Attributes:
        unwanted: To be deleted.
        drained: To be asked to leave the round first.
        leaving: Asked before, and still there.
        after_s: When to look again for pods that are backed off, or take their time to leave.
    """

    wanted: tuple[Wanted, ...] = ()
    unwanted: tuple[Unwanted, ...] = ()
    drained: tuple[Unwanted, ...] = ()
    leaving: tuple[WorkerPod, ...] = ()
    after_s: float | None = None


def scale(facts: Facts) -> Scale:
    """Return the pods to make and to delete so that there are as many as the spec says.

    A pod keeps its index as long as it lives; a new one takes the lowest that is free.
    """
    observed, slots = facts.observed, _by_index(facts.observed)
    leaving = [pod for pod in observed.pods if observed.drains(pod) and not pod.deleting]
    outdated = _outdated(observed)
    taken = {i: held for i, pods in slots.items() if (held := _holder(observed, pods, outdated))}
    staying = [pod for pod in taken.values() if not pod.ended]
    surplus = scale_in.choose(facts, staying)
    wanted, delays = _vacancies(facts, slots, taken)
    leave_s = {pod: scale_in.leaves_s(pod, observed) for pod in leaving}
    old = dict(retention.surplus(observed, replacement.awaited(facts)))
    outlived = {p: sidecar_grace_s(p, observed) for p in _outlived(slots) if p not in old}
    why = f"scaled in to {size.workers(observed.spec)} replicas"
    unwanted = (
        *(Unwanted(pod, why) for pod in surplus if not pod.running),
        *(Unwanted(pod, LEFT) for pod, due_s in leave_s.items() if due_s == 0),
        *_doubles(slots, taken),
        *(Unwanted(pod, OVERTAKEN) for pod in by_age(outdated) if pod.index not in taken),
        *(Unwanted(pod, reason) for pod, reason in old.items()),
        *(Unwanted(pod, OUTLIVED) for pod, grace_s in outlived.items() if grace_s == 0),
    )
    delays += [due_s for due_s in (*leave_s.values(), *outlived.values()) if due_s > 0]
    return Scale(
        wanted=tuple(wanted),
        unwanted=unwanted,
        # Without its store nobody can leave: the round goes on with them until then.
        drained=tuple(Unwanted(p, why) for p in surplus if p.running and observed.store.reachable),
        leaving=tuple(leaving),
        after_s=min(delays, default=None),
    )


def _vacancies(
    facts: Facts, slots: Slots, taken: Mapping[int, WorkerPod]
) -> tuple[list[Wanted], list[float]]:
    """Return the pods to make, and for how long others that are missing must still wait."""
    observed, spec = facts.observed, facts.observed.spec
    if (again_s := refusals.again_s(observed)) > 0:
        return [], [again_s]
    missing = min(size.pods(spec) - len(taken), size.most_pods(spec) - _alive(observed))
    if missing <= 0:
        return [], []
    waiting = {
        index: delay_s
        for index, pods in slots.items()
        if index not in taken
        and not observed.drains(pods[-1])
        and (delay_s := replacement.waits_s(pods[-1], facts)) > 0
    }
    delays = [waiting[index] for index in sorted(waiting)[:missing]]
    leaving = {pod.index for pod in observed.pods if pod.alive and observed.drains(pod)}
    free = (i for i in count() if i not in taken and i not in waiting and i not in leaving)
    made = [Wanted(i, book.next_attempt(facts.attempts, i)) for i in islice(free, missing)]
    at_once = missing - len(delays)
    return made[: min(at_once, 1) if observed.refused else at_once], delays


def _holder(
    observed: Observed, pods: Sequence[WorkerPod], outdated: AbstractSet[WorkerPod]
) -> WorkerPod | None:
    """Return the pod that holds the index of these pods."""
    holding = (p for p in pods if p.holds_slot and p not in outdated and not observed.drains(p))
    return next(holding, None)


def _alive(observed: Observed) -> int:
    return sum(pod.alive or pod.succeeded for pod in observed.pods)


def sidecar_grace_s(pod: WorkerPod, observed: Observed) -> float:
    """Return how long this pod, whose training failed, may still keep its node's resources."""
    due = pod.ended_at + timedelta(seconds=SIDECAR_GRACE_S)
    return max(0.0, (due - observed.now).total_seconds())


def expected(facts: Facts, scaled: Scale) -> int:
    """Return how many workers run, or will within seconds; at most a round's members.

    A pod that is refused, or that finds no node, is not waited for by those who can go on.
    """
    going = {pod.name for pod in scaled.leaving}
    going |= {entry.pod.name for entry in (*scaled.unwanted, *scaled.drained)}
    coming = sum(pod.expected and pod.name not in going for pod in facts.observed.pods)
    made = 0 if facts.observed.refused else len(scaled.wanted)
    return min(coming + made, size.most_in_round(facts.observed.spec))


def awaits_nodes(facts: Facts, scaled: Scale) -> bool:
    """Return whether pods that are wanted wait for a node, or for leave to be made at all."""
    pods = [pod for pod in facts.observed.pods if pod.holds_slot]
    missing = facts.observed.refused is not None and len(pods) < size.pods(facts.observed.spec)
    return missing or bool(scaled.wanted) or not all(pod.ended or pod.placed for pod in pods)


def _by_index(observed: Observed) -> Slots:
    slots: dict[int, list[WorkerPod]] = defaultdict(list)
    for pod in by_age(observed.pods):
        slots[pod.index].append(pod)
    return slots


def _doubles(slots: Slots, taken: Mapping[int, WorkerPod]) -> list[Unwanted]:
    """Two operators that overlapped for a moment may have made two pods for one index."""
    why = "another pod has the same index"
    return [
        Unwanted(pod, why)
        for index, holder in taken.items()
        for pod in slots[index]
        if pod is not holder and pod.alive
    ]


def _outdated(observed: Observed) -> set[WorkerPod]:
    """Return the pods that were made before the suspended job was edited, and still live."""
    current = blueprint.digest(observed.spec)
    return {
        pod
        for pod in observed.pods
        if pod.alive and blueprint.is_outdated(pod, current) and not observed.drains(pod)
    }


def _outlived(slots: Slots) -> list[WorkerPod]:
    """The newest failed pod of each index, where containers beside the training still run."""
    failed = ([pod for pod in pods if pod.failed and not pod.deleting] for pods in slots.values())
    return [pod for pods in failed for pod in pods[-1:] if pod.occupied]
