"""What is told about a job: its status, written whole once per reconcile."""

from __future__ import annotations

from dataclasses import dataclass, replace

from elasticjob_operator import api, book, conditions, history, labels, policies, timeline
from elasticjob_operator.observed import Observed
from elasticjob_operator.plan import Plan
from elasticjob_operator.pod_facts import by_age
from elasticjob_operator.policies import Facts, over, progress, quorum, size, suspension, waiting
from elasticjob_operator.policies.waiting import Waiting
from elasticjob_operator.provisioning import names
from elasticjob_operator.timestamps import stamp

GOES_ON = {"Formed", "Unknown", "Closed"}
"""The last round goes on: also while the store does not answer, and while its pods are ending."""


@dataclass(frozen=True)
class Created:
    """A pod that was made."""

    name: str
    index: int
    attempt: int


@dataclass(frozen=True)
class Deleted:
    """A pod that was deleted, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What became of a plan's actions.

    Attributes:
        refusal: The API server's words about an object that it does not take.
        refused_pods: Its words about a worker's pod.
        refused_scaler: Its words about the autoscaler, without which the job goes on.
        unscaled: Whether the autoscaler was deleted.
    """

    created: tuple[Created, ...] = ()
    deleted: tuple[Deleted, ...] = ()
    refusal: str = ""
    refused_pods: str = ""
    refused_scaler: str = ""
    unscaled: bool = False

    def after(self, earlier: Outcome) -> Outcome:
        """Return both together; what was refused earlier was tried again."""
        created, deleted = earlier.created + self.created, earlier.deleted + self.deleted
        unscaled = earlier.unscaled or self.unscaled
        return replace(self, created=created, deleted=deleted, unscaled=unscaled)


def status(plan: Plan, outcome: Outcome) -> api.ElasticJobStatus:
    """Return the job's new status."""
    facts, observed = plan.facts, plan.facts.observed
    now, told = stamp(observed.now), observed.status
    started_at = suspension.started_at(observed)
    return told.model_copy(
        update={
            **_counts(plan, outcome),
            "observed_generation": observed.job.metadata.generation,
            "phase": phase(plan),
            "selector": labels.selector(observed.job.metadata.name, labels.WORKER),
            "start_time": started_at and stamp(started_at),
            "completion_time": (told.completion_time or now) if plan.over else None,
            "rendezvous": _rendezvous(plan),
            "progress": progress.shown(observed),
            "restarts": facts.restarts,
            "client_image": _client_image(plan),
            "last_failure": facts.last_failure,
            "node_failures": facts.node_failures,
            "attempts": _attempts(plan, outcome),
            "autoscaler": _autoscaler(plan, outcome),
            "conditions": _conditions(plan, outcome),
        }
    )


def _attempts(plan: Plan, outcome: Outcome) -> api.Attempts:
    made = ((pod.index, pod.attempt) for pod in outcome.created)
    attempts = book.with_created(plan.facts.attempts, *made)
    pods = {pod.name: pod for pod in plan.facts.observed.pods}
    for deleted in outcome.deleted:
        pod = pods.get(deleted.name)
        if pod and not pod.ended:
            # Whose end the operator brought about is nobody's failure.
            attempts = book.with_ended(attempts, pod.index, pod.attempt)
    return attempts


def _autoscaler(plan: Plan, outcome: Outcome) -> str:
    job = plan.facts.observed.job
    if job.spec.autoscaling and not plan.over and not plan.suspended:
        return job.metadata.name
    return "" if outcome.unscaled else job.status.autoscaler


def phase(plan: Plan) -> api.Phase:
    """Return the job's phase; the conditions say the same with reasons.

    ==========  ================================================================
    Pending     no training container runs yet
    Starting    training containers run; the first round is being formed
    Running     a round stands, or its workers have finished and are ending
    Restarting  there was a round, and the next one is being formed
    Suspended   runPolicy.suspend is set; pods are ending, or have
    Complete    the workers of the last round ended with success
    Failed      training failed too often, or can never start
    ==========  ================================================================
    """
    if plan.over:
        return plan.over.condition
    if plan.suspended:
        return "Suspended"
    facts, told = plan.facts, plan.facts.rendezvous
    if told.round and told.state in GOES_ON:
        return "Running"
    if told.round:
        return "Restarting"
    return "Starting" if any(pod.running for pod in facts.observed.pods) else "Pending"


def _rendezvous(plan: Plan) -> api.RendezvousStatus:
    """What is told of a job at rest does not depend on whether its store is still there."""
    told = plan.facts.rendezvous
    if plan.over:
        return told.model_copy(update={"state": "Closed", "waiting": 0})
    if plan.suspended:
        return told.model_copy(update={"state": "Waiting", "waiting": 0, "world_size": None})
    return told


def _client_image(plan: Plan) -> str:
    """Return the client of the first round; a job that is resumed may get another one."""
    facts, told = plan.facts, plan.facts.observed.status.client_image
    pods = by_age(facts.observed.pods)
    if plan.suspended and not any(pod.occupied for pod in pods):
        return ""
    if told or plan.suspended:
        return told
    members = history.last_members(facts.observed.store, facts.rendezvous)
    return next((pod.client for pod in pods if pod.name in members and pod.client), "")


def _counts(plan: Plan, outcome: Outcome) -> dict[str, object]:
    facts = plan.facts
    pods, told = facts.observed.pods, facts.rendezvous
    live = {pod.name for pod in pods if pod.alive}
    made = {pod.name for pod in outcome.created} - {pod.name for pod in pods}
    members = history.last_members(facts.observed.store, told)
    missing = members - live
    goes_on = told.state in GOES_ON and not plan.over and not plan.suspended
    ready = told.workers - len(missing) if goes_on else 0
    spec = facts.observed.spec
    there = live | made
    spares = size.spares(spec, len(there), len(there - members))
    return {
        "replicas": len(there) - spares,
        "spares": spares,
        "ready": ready,
        "ready_of_wanted": f"{ready}/{size.workers(spec)}",
        "active": sum(pod.running for pod in pods),
        "succeeded": sum(p.succeeded and not facts.observed.drains(p) for p in pods),
        "failed": facts.observed.status.failed + _failed(facts),
    }


def _failed(facts: Facts) -> int:
    return sum(entry.ending.account != "success" for entry in facts.ended)


# --- conditions --------------------------------------------------------------------------------

Words = tuple[bool | None, str, str]

_NOT_OVER: dict[str, Words] = {
    conditions.COMPLETE: (False, "NotOver", "the job is not over"),
    conditions.FAILED: (False, "NotOver", "the job is not over"),
}


def _conditions(plan: Plan, outcome: Outcome) -> tuple[api.Condition, ...]:
    observed = plan.facts.observed
    table = _table(plan, outcome)
    new = [
        conditions.make(
            kind,
            status=status,
            reason=reason,
            message=message,
            now=observed.now,
            generation=observed.job.metadata.generation,
        )
        for kind, (status, reason, message) in table.items()
    ]
    return conditions.merge(observed.status.conditions, new)


def _table(plan: Plan, outcome: Outcome) -> dict[str, Words]:
    if plan.over:
        return _over(plan.over)
    if plan.suspended:
        return _suspended(plan.facts, outcome)
    return _going_on(plan.facts, _waits_for(plan, outcome))


def _waits_for(plan: Plan, outcome: Outcome) -> Waiting:
    if outcome.refusal:
        return waiting.object_refused(plan.facts, outcome.refusal)
    before = plan.facts.observed.refused
    refused = outcome.refused_pods or (before.words if before and not outcome.created else "")
    if refused and (short := waiting.pods_refused(plan.facts, refused, len(outcome.created))):
        return short
    waits = policies.first(waiting.CHECKS, plan.facts)
    assert waits  # the last check always answers
    if outcome.refused_scaler and not waits.blocked:
        return waiting.object_refused(plan.facts, outcome.refused_scaler)
    return waits


def _over(end: over.Over) -> dict[str, Words]:
    complete = end.condition == "Complete"
    return {
        conditions.RENDEZVOUS_READY: (False, "JobOver", "the run is closed"),
        conditions.READY: (False, end.reason, end.message),
        conditions.PROGRESSING: (False, end.reason, end.message),
        conditions.SUSPENDED: (False, end.reason, end.message),
        conditions.COMPLETE: (complete, end.reason, end.message),
        conditions.FAILED: (not complete, end.reason, end.message),
    }


def _suspended(facts: Facts, outcome: Outcome) -> dict[str, Words]:
    count = sum(pod.occupied for pod in facts.observed.pods)
    words = f"{count} pod{'' if count == 1 else 's'} still ending" if count else "no pod is left"
    waits = (False, "JobSuspended", outcome.refusal or f"the job is suspended; {words}")
    return {
        conditions.RENDEZVOUS_READY: waits,
        conditions.READY: waits,
        conditions.PROGRESSING: waits,
        conditions.SUSPENDED: (True, *waits[1:]),
        **_NOT_OVER,
    }


def _going_on(facts: Facts, waits: Waiting) -> dict[str, Words]:
    return {
        conditions.RENDEZVOUS_READY: _store_words(facts),
        conditions.READY: _round_words(facts, waits),
        conditions.PROGRESSING: (not waits.blocked, waits.reason, waits.message),
        conditions.SUSPENDED: _resumed(facts),
        **_NOT_OVER,
    }


def _resumed(facts: Facts) -> Words:
    before = conditions.find(facts.observed.status.conditions, conditions.SUSPENDED)
    if before and before.reason in {"JobSuspended", "JobResumed"}:
        return False, "JobResumed", "the job was suspended, and goes on"
    return False, "NotSuspended", "the job is not suspended"


def _store_words(facts: Facts) -> Words:
    store, told = facts.observed.store, facts.rendezvous
    if len(names.members(facts.observed.job)) > 1:
        return _quorum_words(facts.observed)
    if store.reachable:
        return True, "StoreAnswers", f"the rendezvous store at {told.endpoint} answers"
    if facts.observed.locked_out:
        return False, "CredentialsUnusable", facts.observed.locked_out
    problem = store.problem or "not reached yet"
    words = f"the rendezvous store at {told.endpoint} does not answer: {problem}"
    return False, "StoreUnreachable", words


def _quorum_words(observed: Observed) -> Words:
    wanted, store = names.members(observed.job), observed.store
    pods = {pod.name: pod for pod in observed.store_pods}
    missing = [quorum.words(name, pods.get(name)) for name in wanted]
    missing = [words for words in missing if words]
    words = f"{len(wanted) - len(missing)} of {len(wanted)} members of the rendezvous store answer"
    words = "; ".join((words, *missing))
    if quorum.answers(observed):
        return True, "StoreDegraded" if missing else "StoreAnswers", words
    problem = store.problem or ("more than half must" if store.reachable else "not reached yet")
    return False, "StoreUnreachable", f"{words}; {problem}"


def _round_words(facts: Facts, waits: Waiting) -> Words:
    told = facts.rendezvous
    if told.state == "Formed":
        words = timeline.words(told.history[-1]) if told.history else f"round {told.round} stands"
        return True, "RoundFormed", words
    if told.round and told.state == "Unknown":
        return None, waits.reason, waits.message
    return False, waits.reason, waits.message
