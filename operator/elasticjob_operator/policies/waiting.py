"""What a job that is not over waits for, from the first thing that must be there to the last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from elasticjob_operator import history, timeline
from elasticjob_operator.pod_status import IMAGE_TROUBLES, Trouble
from elasticjob_operator.policies import (
    Facts,
    avoidance,
    progress,
    size,
    slow_start,
    store_pods,
    topology,
)
from elasticjob_operator.provisioning import names


@dataclass(frozen=True)
class Waiting:
    """What is waited for; ``blocked`` when somebody must do something about it."""

    reason: str
    message: str
    blocked: bool = False


def store_stuck(facts: Facts) -> Waiting | None:
    if facts.observed.store.reachable:
        return None
    for pod in facts.observed.store_pods:
        if pod.trouble:
            return _trouble(f"the rendezvous store's pod {pod.name}", pod.trouble)
        if pod.unschedulable:
            words = f"the rendezvous store's pod {pod.name} finds no node: {pod.unschedulable}"
            words += store_pods.volume_words(facts.observed, pod)
            return Waiting("Unschedulable", words, blocked=True)
    return None


def locked_out(facts: Facts) -> Waiting | None:
    problem = facts.observed.locked_out
    return Waiting("CredentialsUnusable", problem, blocked=True) if problem else None


def store_missing(facts: Facts) -> Waiting | None:
    store, told = facts.observed.store, facts.rendezvous
    if store.reachable:
        return None
    if told.round:
        words = f"the rendezvous store does not answer; round {told.round} goes on without it"
        return Waiting("StoreUnreachable", f"{words} ({store.problem})")
    if overdue := store_pods.overdue(facts.observed):
        owner = names.store(facts.observed.job)
        words = f"the rendezvous store's pod {overdue[0]} is not made yet, although the API server"
        return Waiting(
            "WaitingForStore", f"{words} would take it: see the events of the StatefulSet {owner}"
        )
    words = f" ({store.problem})" if store.problem else ""
    words += f"; {slow}" if (slow := slow_start.store_words(facts.observed)) else ""
    return Waiting("WaitingForStore", f"the rendezvous store is starting{words}")


def worker_stuck(facts: Facts) -> Waiting | None:
    for pod in facts.observed.pods:
        if pod.trouble and not pod.ended and not pod.deleting:
            return _trouble(f"pod {pod.name}", pod.trouble)
    return None


def worker_unschedulable(facts: Facts) -> Waiting | None:
    pods = [p for p in facts.observed.pods if p.unschedulable and not p.ended and not p.deleting]
    if not pods:
        return None
    wanted, least = size.pods(facts.observed.spec), facts.observed.spec.min_replicas
    words = _beside(facts, f"{len(pods)} of {wanted} pods find no node")
    blocked = wanted - len(pods) < least
    words += f": {pods[0].unschedulable}{_avoided(facts)}"
    return Waiting("Unschedulable", words, blocked=blocked)


def object_refused(facts: Facts, words: str) -> Waiting:
    """Say what the API server does not take, and that nobody who trains waits for it."""
    told = facts.rendezvous
    goes_on = told.round and told.state in {"Formed", "Unknown"}
    words += f"; round {told.round} goes on meanwhile" if goes_on else ""
    return Waiting("ObjectRefused", words, blocked=True)


def pods_refused(facts: Facts, words: str, created: int = 0) -> Waiting | None:
    """Say why pods are missing, in the API server's words; None when none is missing."""
    wanted, least = size.pods(facts.observed.spec), facts.observed.spec.min_replicas
    there = sum(pod.holds_slot for pod in facts.observed.pods) + created
    if there >= wanted:
        return None
    known = _beside(facts, f"{there} of {wanted} pods are there")
    return Waiting("ObjectRefused", f"{known}: {words}", blocked=there < least)


def workers_ending(facts: Facts) -> Waiting | None:
    """The workers closed the run: all of the last round have finished, or training said so."""
    told, store = facts.rendezvous, facts.observed.store
    if told.state != "Closed" or store.round is None:
        return None
    return Waiting("Ending", f"the run is closed ({store.round.reason}); its pods are ending")


def training_stalled(facts: Facts) -> Waiting | None:
    why = progress.stands_still(facts.observed)
    return Waiting("TrainingStalled", f"{why}; its workers are stopped") if why else None


def pods_starting(facts: Facts) -> Waiting | None:
    wanted, least = size.pods(facts.observed.spec), facts.observed.spec.min_replicas
    running = sum(pod.running for pod in facts.observed.pods)
    if running >= least or history.state(facts.observed.store) == "Formed":
        return None
    words = f"{running} of {wanted} pods run; at least {least} must"
    return Waiting("WaitingForPods", words + _slow(facts))


def round_forming(facts: Facts) -> Waiting | None:
    store, told = facts.observed.store, facts.rendezvous
    if told.state == "Formed":
        return None
    why = f": {store.round.reason}" if store.round else ""
    least = facts.observed.spec.min_replicas
    words = f"{len(store.members)} of at least {least} workers are there"
    after = f"the round after {told.round}" if told.round else "the first round"
    return Waiting("FormingRound", f"{after} is being formed; {words}{why}")


def training(facts: Facts) -> Waiting | None:
    told = facts.rendezvous
    words = timeline.words(told.history[-1]) if told.history else f"round {told.round} stands"
    words += size.words(facts.observed.spec, told.waiting)
    return Waiting("Training", words + _unplaced(facts) + _slow(facts) + _avoided(facts))


CHECKS: tuple[Callable[[Facts], Waiting | None], ...] = (
    locked_out,
    store_stuck,
    store_missing,
    worker_stuck,
    worker_unschedulable,
    workers_ending,
    training_stalled,
    pods_starting,
    round_forming,
    training,
)


def _unplaced(facts: Facts) -> str:
    """Say so when ranks cannot be grouped by the key that the job gives."""
    key = facts.observed.spec.topology_key
    workers = [pod for pod in facts.observed.pods if pod.running]
    unknown = [pod for pod in workers if not topology.site(facts.observed, pod)]
    if key is None or not unknown:
        return ""
    words = f"; the ranks of {len(unknown)} of {len(workers)} workers are not grouped"
    if not facts.observed.sees_nodes:
        blind = "the operator, which may not see nodes, cannot tell them of the label"
        return f"{words}: {blind} {key}"
    nodes = sorted({pod.node for pod in unknown})
    some = f"{', '.join(nodes[:4])}{' and others' if nodes[4:] else ''}"
    return f"{words}: they run on {some} without the label {key}"


def _avoided(facts: Facts) -> str:
    words = avoidance.words(facts.observed.spec, facts.node_failures)
    return f"; {words}" if words else ""


def _slow(facts: Facts) -> str:
    words = slow_start.words(facts.observed)
    return f"; {words}" if words else ""


def _beside(facts: Facts, words: str) -> str:
    """Say with it what goes on without the pods that are missing, or how many there must be."""
    told = facts.rendezvous
    if told.state == "Formed":
        return f"round {told.round} stands with {told.workers} workers; {words}"
    return f"{words}, at least {facts.observed.spec.min_replicas} must run"


def _trouble(who: str, trouble: Trouble) -> Waiting:
    words = trouble.message or trouble.reason
    if trouble.reason in IMAGE_TROUBLES:
        message = f"{who} cannot pull the image {trouble.image!r}: {trouble.reason}: {words}"
        return Waiting("ImagePullFailed", message, blocked=True)
    message = f"{who} cannot start its container {trouble.container}: {trouble.reason}: {words}"
    return Waiting("ContainerStartFailed", message, blocked=True)
