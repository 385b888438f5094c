"""The whole operator on one page: from what is seen to what is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from elasticjob_operator import (
    actions,
    closing,
    endings,
    pods,
    policies,
    provisioning,
    stock,
)
from elasticjob_operator.observed import Observed
from elasticjob_operator.policies import (
    Facts,
    avoidance,
    node_loss,
    over,
    progress,
    quorum,
    scale,
    size,
    slow_start,
    store_pods,
    topology,
)
from elasticjob_operator.provisioning import autoscaler, etcd
from elasticjob_operator.settings import Settings
from rdzv_client import wire

STORE_AGAIN_S = 15.0
"""A store that does not answer may have to be made again, and nobody would tell."""
RESYNC_S = 600.0
"""What was made for the job is made sure of again, whoever may have changed it."""
TOLD_S = 1.0
"""What must be told before it is done is told by then."""
CREATES_AT_ONCE = 256
"""The next look makes the others, so that none takes long and the status is told in between."""


@dataclass(frozen=True)
class Plan:
    """What is to be done, on which facts, and when to look again without being called."""

    facts: Facts
    over: over.Over | None = None
    actions: tuple[actions.Action, ...] = ()
    after_s: float | None = None

    @property
    def suspended(self) -> bool:
        """Whether the job stands still for now."""
        return self.over is None and self.facts.observed.spec.run_policy.suspend

    @property
    def at_rest(self) -> bool:
        """Whether nothing is to be done, nor will be by the news of its store."""
        return (self.over is not None or self.suspended) and not self.actions


def plan(observed: Observed, settings: Settings) -> Plan:
    """Decide what to do about a job. The same snapshot always gives the same plan."""
    observed = node_loss.marked(observed)
    facts = stock.take(observed)
    end = policies.first(over.CHECKS, facts)
    if end:
        last_steps, after_s = closing.wind_up(observed, end)
        return Plan(facts, end, (*_unscaled(observed), *last_steps), after_s)
    if observed.spec.run_policy.suspend:
        return Plan(facts, None, (*_unscaled(observed), *closing.park(observed)))
    scaled = scale.scale(facts)
    steps: list[actions.Action] = [
        *_store(observed, settings),
        *_tell_store(facts, scaled),
        *_drain(scaled),
        *(actions.DeletePod(u.pod.name, u.pod.uid, u.reason) for u in scaled.unwanted),
        *node_loss.removals(observed),
        *_try_store(observed, settings),
    ]
    # Never before the store knows the bounds: they are seeded before the first pod.
    wanted = scaled.wanted if observed.store.reachable else ()
    steps += [_create(facts, one, settings) for one in wanted[:CREATES_AT_ONCE]]
    steps += _autoscaled(observed)
    again_s = 0.0 if len(wanted) > CREATES_AT_ONCE else _look_again_s(facts, scaled)
    return Plan(facts, None, tuple(steps), again_s)


def _autoscaled(observed: Observed) -> Iterator[actions.Action]:
    """Make the autoscaler once it is in the status: one that is made is never forgotten."""
    scaler = autoscaler.manifest(observed.job)
    if scaler is None:
        yield from _unscaled(observed)
    elif observed.status.autoscaler:
        yield actions.Autoscale(scaler)


def _unscaled(observed: Observed) -> Iterator[actions.Action]:
    """Take away the autoscaler, if one was made."""
    if observed.status.autoscaler:
        yield actions.StopAutoscaling(autoscaler.reference(observed.job))


# --- a job that goes on ------------------------------------------------------------------------


def _store(observed: Observed, settings: Settings) -> Iterator[actions.Action]:
    """Make what the workers need, and mend it."""
    if quorum.is_lost(observed):
        # Its pods go with it; when they are gone, it is made again.
        yield actions.RemoveStore((etcd.pods_owner(observed.job),))
        return
    joining = quorum.is_joined(observed)
    yield actions.Provision(provisioning.manifests(observed.job, settings, joining=joining))
    yield from quorum.repairs(observed)


def _try_store(observed: Observed, settings: Settings) -> Iterator[actions.Action]:
    """Ask about a pod of the store that is not made: nobody else would say why."""
    overdue = store_pods.overdue(observed)
    if overdue and not quorum.is_lost(observed):
        owner = provisioning.manifests(observed.job, settings)[-1]
        yield actions.TryPod(overdue[0], owner)


def _look_again_s(facts: Facts, scaled: scale.Scale) -> float:
    observed = facts.observed
    unasked_s = RESYNC_S if observed.store.reachable else STORE_AGAIN_S
    autoscaler_untold = observed.spec.autoscaling and not observed.status.autoscaler
    after_s = (
        unasked_s,
        scaled.after_s,
        over.deadline_s(observed),
        node_loss.look_again_s(observed),
        slow_start.look_again_s(observed),
        progress.look_again_s(observed),
        avoidance.look_again_s(observed, facts.node_failures),
        TOLD_S if autoscaler_untold else None,
    )
    return min(delay_s for delay_s in after_s if delay_s is not None)


def _create(facts: Facts, wanted: scale.Wanted, settings: Settings) -> actions.CreatePod:
    job = facts.observed.job
    manifest = pods.worker(job, wanted.index, wanted.attempt, settings)
    avoidance.keep_off(manifest, job.spec, facts.node_failures)
    name = manifest["metadata"]["name"]
    return actions.CreatePod(name, wanted.index, wanted.attempt, manifest)


def _tell_store(facts: Facts, scaled: scale.Scale) -> Iterator[actions.Action]:
    """Say what only Kubernetes knows: where nodes stand, who is coming, and who never will."""
    store, spec = facts.observed.store, facts.observed.spec
    if not store.reachable:
        return
    if sites := topology.untold(facts.observed):
        yield actions.TellSites(sites)
    stalled_round, stalled_reason = progress.stalled(facts.observed)
    wanted = wire.Settings(
        seq=store.settings.seq if store.settings else 0,
        min_nodes=spec.min_replicas,
        max_nodes=size.most_in_round(spec),
        step=spec.replica_step,
        expected_nodes=scale.expected(facts, scaled),
        round_floor=facts.rendezvous.round,
        scheduling=scale.awaits_nodes(facts, scaled),
        sites=topology.are_told(facts.observed),
        failures_left=over.failures_left(facts),
        stalled_round=stalled_round,
        stalled_reason=stalled_reason,
    )
    if wanted != store.settings:
        yield actions.WriteSettings(replace(wanted, seq=wanted.seq + 1))
    yield from _gone(facts)


def _drain(scaled: scale.Scale) -> Iterator[actions.Action]:
    if scaled.drained:
        uids = tuple(entry.pod.uid for entry in scaled.drained)
        yield actions.Drain(uids, scaled.drained[0].reason)


def _gone(facts: Facts) -> Iterator[actions.Action]:
    store = facts.observed.store
    pods_by_uid = {pod.uid: pod for pod in facts.observed.pods}
    in_store = {member.uid: member.name for member in store.members}
    in_store |= {rank.uid: rank.name for formed in store.formed[-1:] for rank in formed.ranks}
    done = {left.uid for left in store.left if left.cause in {"finished", "drained"}}
    for uid, name in in_store.items():
        pod = pods_by_uid.get(uid)
        if uid in store.gone or uid in done or (pod and not pod.gone):
            continue
        if pod:
            yield actions.MarkGone(uid, f"its pod {endings.classify(pod).message}")
        else:
            yield actions.ConfirmGone(name, uid)
