"""A job that is over, or suspended: its pods end, and what was made for it goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from elasticjob_operator import actions, provisioning
from elasticjob_operator.observed import Observed
from elasticjob_operator.policies import over
from elasticjob_operator.provisioning import names
from elasticjob_operator.timestamps import instant
from rdzv_client import wire

CLOSING_GRACE_S = 10.0
"""How long pods may take to end by themselves when the job is over: their logs stay then."""
SUSPENDED = "the job is suspended"


def wind_up(observed: Observed, end: over.Over) -> tuple[tuple[actions.Action, ...], float | None]:
    """Close the run, let the pods end by themselves for a moment, then clean up.

    Returns:
        What to do, and the seconds after which to look again unasked.
    """
    unended = [pod for pod in observed.pods if not pod.ended]
    occupied = [pod for pod in observed.pods if pod.occupied]
    steps: list[actions.Action] = []
    if unended:
        steps.append(actions.FollowStore())
        steps += _close(observed, f"the job is {end.condition}: {end.message}")
    wait_s = _closing_s(observed)
    policy = observed.spec.run_policy.clean_pod_policy
    doomed = {"None": [], "Running": occupied, "All": list(observed.pods)}[policy]
    doomed = [pod for pod in doomed if not pod.deleting]
    if wait_s <= 0:
        why = f"the job is {end.condition}"
        steps += [actions.DeletePod(pod.name, pod.uid, why) for pod in doomed]
    if not unended:
        steps += dismantle(observed)
    if doomed and wait_s > 0:
        return tuple(steps), wait_s
    kept_s = _kept_s(observed)
    if kept_s is not None and kept_s <= 0:
        steps.append(actions.DeleteJob(f"it is {end.condition}, and was kept as long as it should"))
        kept_s = None
    return tuple(steps), kept_s


def park(observed: Observed) -> tuple[actions.Action, ...]:
    """Return what takes the job down so that it can go on later.

    Pods that failed stay for their logs. The store goes last: the status knows the round reached,
    and the store's successor is told it before the first pod is made.
    """
    held = [pod for pod in observed.pods if pod.occupied or pod.succeeded]
    if not held:
        return tuple(dismantle(observed))
    doomed = [pod for pod in held if not pod.deleting]
    return (
        actions.FollowStore(),
        *(actions.DeletePod(pod.name, pod.uid, SUSPENDED) for pod in doomed),
    )


def dismantle(observed: Observed) -> Iterator[actions.Action]:
    """Yield what takes away the job's store, or what it left in a store that is not its own."""
    if names.has_own_store(observed.job):
        if observed.store_pods:
            yield actions.RemoveStore(provisioning.store_references(observed.job))
    elif observed.store.settings:
        yield actions.EmptyStore()


def _kept_s(observed: Observed) -> float | None:
    """Return how much longer the job is kept; None for good, or while its end is not yet told."""
    ttl_s = observed.spec.run_policy.ttl_seconds_after_finished
    ended_at = instant(observed.status.completion_time)
    if ttl_s is None or ended_at is None:
        return None
    return ttl_s - (observed.now - ended_at).total_seconds()


def _closing_s(observed: Observed) -> float:
    ended_at = instant(observed.status.completion_time) or observed.now
    due = ended_at + timedelta(seconds=CLOSING_GRACE_S)
    return (due - observed.now).total_seconds()


def _close(observed: Observed, reason: str) -> Iterator[actions.Action]:
    store, spec = observed.store, observed.spec
    if not store.reachable or (store.settings and store.settings.closed is not None):
        return
    told = store.settings or wire.Settings(0, spec.min_replicas, spec.max_replicas)
    closed = replace(told, seq=told.seq + 1, expected_nodes=0, closed=reason)
    yield actions.WriteSettings(closed)
