"""The whole operator on one page: from what is seen to what is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from datetime import timedelta

from elasticjob_operator import actions, api, book, endings, history, pods, policies, provision
from elasticjob_operator.observed import FormedRound, Observed
from elasticjob_operator.policies import Facts, over, scale
from elasticjob_operator.settings import Settings
from elasticjob_operator.timestamps import instant, stamp
from rdzv_client import wire

CLOSING_GRACE_S = 10.0
"""How long pods may take to end by themselves when the job is over: their logs stay then."""

STORE_AGAIN_S = 15.0
"""A store that does not answer may have to be made again, and nobody would tell."""
RESYNC_S = 600.0
"""What was made for the job is made sure of again, whoever may have changed it."""


@dataclass(frozen=True)
class Plan:
    """What is to be done, on which facts, and when to look again without being called."""

    facts: Facts
    over: over.Over | None = None
    actions: tuple[actions.Action, ...] = ()
    after_s: float | None = None


def plan(observed: Observed, settings: Settings) -> Plan:
    """Decide what to do about a job. The same snapshot always gives the same plan."""
    facts = take_stock(observed)
    end = policies.first(over.CHECKS, facts)
    if end:
        return Plan(facts, end, *_wind_up(facts, end))
    scaled = scale.scale(facts)
    steps: list[actions.Action] = [
        actions.Provision(provision.manifests(observed.job, settings)),
        *_tell_store(facts, scaled),
        *(actions.DeletePod(u.pod.name, u.pod.uid, u.reason) for u in scaled.unwanted),
    ]
    if observed.store.reachable:
        # Never before the store knows the bounds: they are seeded before the first pod.
        steps += [_create(facts, wanted, settings) for wanted in scaled.wanted]
    return Plan(facts, None, tuple(steps), _look_again_s(observed, scaled))


# --- taking stock ------------------------------------------------------------------------------


def take_stock(observed: Observed) -> Facts:
    """Bring the books up to date: rounds, ended pods, restarts, the last failure."""
    is_over = over.was_over(Facts(observed)) is not None
    attempts, all_ended = book.settle(observed)
    # A job that is over, or scaled in, takes down its pods itself: nothing is lost by that.
    ended = () if is_over else tuple(entry for entry in all_ended if entry.wanted)
    failed_rounds = () if is_over else tuple(history.failed_rounds(observed))
    return Facts(
        observed=observed,
        rendezvous=history.record(observed),
        attempts=attempts,
        restarts=_restarts(observed.status.restarts, ended, failed_rounds),
        last_failure=_last_failure(observed, ended, failed_rounds),
        ended=ended,
        formed=tuple(history.unrecorded(observed)),
    )


def _restarts(
    before: api.Restarts, ended: Iterable[book.Ended], failed_rounds: Sized
) -> api.Restarts:
    accounts = [entry.ending.account for entry in ended]
    worker = before.worker + len(failed_rounds)
    pod = before.pod + accounts.count("own")
    return api.Restarts(
        worker=worker,
        pod=pod,
        infrastructure=before.infrastructure + accounts.count("infrastructure"),
        counted=worker + pod,
    )


def _last_failure(
    observed: Observed, ended: Iterable[book.Ended], failed_rounds: Sequence[FormedRound]
) -> api.Failure | None:
    at = stamp(observed.now)
    own = [entry for entry in ended if entry.ending.account == "own"]
    if own:
        last = own[-1]
        return api.Failure(
            pod=last.name,
            rank=_rank(observed, last.name),
            exit_code=last.ending.exit_code,
            reason=last.ending.reason,
            message=f"pod {last.name} {last.ending.message}",
            at=at,
        )
    if failed_rounds:
        return _worker_failure(observed, failed_rounds[-1], at)
    return observed.status.last_failure


def _worker_failure(observed: Observed, formed: FormedRound, at: str) -> api.Failure:
    """A worker failed in a pod that lived on, and its agent started it again."""
    reason, restarted = formed.record.reason, history.restarted(formed)
    said = [words for pod in restarted if (words := observed.last_words.get(pod))]
    pod = restarted[0] if restarted else ""
    return api.Failure(
        pod=pod,
        rank=_rank(observed, pod),
        reason="WorkerFailed",
        message=": ".join((reason, *said[:1])),
        at=at,
    )


def _rank(observed: Observed, pod: str) -> int | None:
    members = observed.status.rendezvous.members
    return next((member.rank for member in members if member.pod == pod), None)


# --- a job that goes on ------------------------------------------------------------------------


def _look_again_s(observed: Observed, scaled: scale.Scale) -> float:
    unasked_s = RESYNC_S if observed.store.reachable else STORE_AGAIN_S
    return unasked_s if scaled.after_s is None else min(unasked_s, scaled.after_s)


def _create(facts: Facts, wanted: scale.Wanted, settings: Settings) -> actions.CreatePod:
    job = facts.observed.job
    manifest = pods.worker(job, wanted.index, wanted.attempt, settings)
    name = manifest["metadata"]["name"]
    return actions.CreatePod(name, wanted.index, wanted.attempt, manifest)


def _tell_store(facts: Facts, scaled: scale.Scale) -> Iterator[actions.Action]:
    """Say what only Kubernetes knows: how many are coming, and who will never come back."""
    store, spec = facts.observed.store, facts.observed.spec
    if not store.reachable:
        return
    wanted = wire.Settings(
        seq=store.settings.seq if store.settings else 0,
        min_nodes=spec.min_replicas,
        max_nodes=spec.max_replicas,
        expected_nodes=scale.expected(facts, scaled),
        round_floor=facts.rendezvous.round,
    )
    if wanted != store.settings:
        yield actions.WriteSettings(replace(wanted, seq=wanted.seq + 1))
    yield from _gone(facts)


def _gone(facts: Facts) -> Iterator[actions.Action]:
    store = facts.observed.store
    pods_by_uid = {pod.uid: pod for pod in facts.observed.pods}
    in_store = {member.uid: member.name for member in store.members}
    in_store |= {rank.uid: rank.name for formed in store.formed[-1:] for rank in formed.ranks}
    done = {left.uid for left in store.left if left.cause == "finished"}
    for uid, name in in_store.items():
        pod = pods_by_uid.get(uid)
        if uid in store.gone or uid in done or (pod and not pod.gone):
            continue
        if pod:
            yield actions.MarkGone(uid, f"its pod {endings.classify(pod).message}")
        else:
            yield actions.ConfirmGone(name, uid)


# --- a job that is over ------------------------------------------------------------------------


def _wind_up(facts: Facts, end: over.Over) -> tuple[tuple[actions.Action, ...], float | None]:
    """Close the run, let the pods end by themselves for a moment, then clean up."""
    observed = facts.observed
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
        steps += _dismantle(observed)
    return tuple(steps), wait_s if doomed and wait_s > 0 else None


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


def _dismantle(observed: Observed) -> Iterator[actions.Action]:
    if provision.has_own_store(observed.job):
        if observed.store_pod:
            yield actions.RemoveStore(provision.store_name(observed.job))
    elif observed.store.settings:
        yield actions.EmptyStore()
