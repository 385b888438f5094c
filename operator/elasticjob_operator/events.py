"""Kubernetes events: a few lines under ``kubectl describe``, in the past tense.

They are read off the change from the old status to the new one, so they are posted once, after the
status was written, and say the same words as it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from elasticjob_operator import api, conditions, history, timeline
from elasticjob_operator.plan import Plan
from elasticjob_operator.policies import avoidance, progress
from elasticjob_operator.report import Outcome
from elasticjob_operator.timestamps import stamp
from rdzv_client.wording import some

COMPONENT = "elasticjob-operator"
MESSAGE_CHARS = 1024


@dataclass(frozen=True)
class Event:
    """One event about the job."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


def events(plan: Plan, outcome: Outcome, new: api.ElasticJobStatus) -> tuple[Event, ...]:
    """Return what happened between the status that the plan saw and the new one."""
    old = plan.facts.observed.status
    return (
        *_store(old, new),
        *_lost(plan),
        *_restarted(plan, old),
        *_avoided(plan),
        *_made(outcome),
        *_removed(plan, outcome),
        *_rounds(plan, new),
        *_blocked(old, new),
        *_stalled(plan, old, new),
        *_straggling(old, new),
        *_suspended(old, new),
        *_over(old, new),
    )


def manifest(event: Event, job: api.ElasticJob, now: datetime, suffix: str) -> dict[str, Any]:
    """Return the event as an object; ``suffix`` makes its name unique."""
    meta, at = job.metadata, stamp(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta.name}.{suffix}", "namespace": meta.namespace},
        "involvedObject": {
            "apiVersion": api.API_VERSION,
            "kind": api.KIND,
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
        },
        "type": event.kind,
        "reason": event.reason,
        "message": event.message[:MESSAGE_CHARS],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


def _store(old: api.ElasticJobStatus, new: api.ElasticJobStatus) -> Iterator[Event]:
    kind = conditions.RENDEZVOUS_READY
    before, now = conditions.find(old.conditions, kind), conditions.find(new.conditions, kind)
    if now is None or now.reason in {"JobOver", "JobSuspended"}:
        return
    was, is_ready = before is not None and before.status == "True", now.status == "True"
    if is_ready and not was:
        yield Event("Normal", "RendezvousReady", now.message)
    if was and not is_ready:
        yield Event("Warning", "RendezvousLost", now.message)


def _lost(plan: Plan) -> Iterator[Event]:
    for entry in plan.facts.ended:
        words = f"pod {entry.name} {entry.ending.message}"
        if entry.ending.account == "own":
            yield Event("Warning", "WorkerFailed", words)
        elif entry.ending.account == "infrastructure":
            yield Event("Warning", "WorkerLost", words)
        elif entry.ending.account == "ignored":
            yield Event("Normal", "FailureIgnored", f"{words}; failurePolicy says to ignore it")


def _restarted(plan: Plan, old: api.ElasticJobStatus) -> Iterator[Event]:
    """Workers that failed in a pod that lives on: the round that follows does not tell why."""
    failure = plan.facts.last_failure
    told = any(entry.ending.account == "own" for entry in plan.facts.ended)
    told = told or any(history.is_stalled(formed) for formed in plan.facts.formed)
    if failure and failure != old.last_failure and not told:
        yield Event("Warning", "WorkerFailed", failure.message)


def _avoided(plan: Plan) -> Iterator[Event]:
    spec, old = plan.facts.observed.spec, plan.facts.observed.status.node_failures
    before, now = (avoidance.nodes(spec, told) for told in (old, plan.facts.node_failures))
    if not plan.over and set(now) - set(before):
        yield Event("Warning", "NodeAvoided", avoidance.words(spec, plan.facts.node_failures))


def _made(outcome: Outcome) -> Iterator[Event]:
    first = [pod.name for pod in outcome.created if pod.attempt == 0]
    again = [pod.name for pod in outcome.created if pod.attempt > 0]
    if first:
        yield Event("Normal", "WorkersCreated", f"made {some(first)}")
    if again:
        yield Event("Normal", "WorkersReplaced", f"made {some(again)} in place of earlier ones")


def _removed(plan: Plan, outcome: Outcome) -> Iterator[Event]:
    if plan.over or not outcome.deleted:
        return
    names = [pod.name for pod in outcome.deleted]
    yield Event("Normal", "WorkersRemoved", f"deleted {some(names)}: {outcome.deleted[0].reason}")


def _rounds(plan: Plan, new: api.ElasticJobStatus) -> Iterator[Event]:
    numbers = {formed.record.number for formed in plan.facts.formed}
    for told in new.rendezvous.history:
        if told.round in numbers:
            yield Event("Normal", "RoundFormed", timeline.words(told))


def _blocked(old: api.ElasticJobStatus, new: api.ElasticJobStatus) -> Iterator[Event]:
    kind = conditions.PROGRESSING
    before, now = conditions.find(old.conditions, kind), conditions.find(new.conditions, kind)
    if now is None or now.status == "True" or new.completion_time or new.phase == "Suspended":
        return
    if before is None or before.status == "True" or before.reason != now.reason:
        yield Event("Warning", now.reason, now.message)


def _stalled(plan: Plan, old: api.ElasticJobStatus, new: api.ElasticJobStatus) -> Iterator[Event]:
    """Told when it is seen, or with the round that follows if that came sooner."""
    kind, reason = conditions.PROGRESSING, "TrainingStalled"
    before, now = conditions.find(old.conditions, kind), conditions.find(new.conditions, kind)
    if before and before.reason == reason:
        return
    if now and now.reason == reason:
        yield Event("Warning", reason, now.message)
    else:
        stalled = [formed for formed in plan.facts.formed if history.is_stalled(formed)]
        yield from (Event("Warning", reason, formed.record.reason) for formed in stalled)


def _straggling(old: api.ElasticJobStatus, new: api.ElasticJobStatus) -> Iterator[Event]:
    """Told when there is one, and again when others take its place."""
    before = {one.pod for one in old.progress.stragglers} if old.progress else set()
    words, now = progress.straggling(new.progress), new.progress
    if words and now and not before & {one.pod for one in now.stragglers}:
        yield Event("Warning", "WorkerStraggles", words)


def _suspended(old: api.ElasticJobStatus, new: api.ElasticJobStatus) -> Iterator[Event]:
    if new.completion_time:
        return
    kind = conditions.SUSPENDED
    was, now = conditions.holds(old.conditions, kind), conditions.find(new.conditions, kind)
    if now and was != (now.status == "True"):
        yield Event("Normal", now.reason, now.message)


def _over(old: api.ElasticJobStatus, new: api.ElasticJobStatus) -> Iterator[Event]:
    before = {condition.type for condition in old.conditions if conditions.ends_job(condition)}
    for condition in new.conditions:
        if conditions.ends_job(condition) and condition.type not in before:
            succeeded = condition.type == conditions.COMPLETE
            kind: Literal["Normal", "Warning"] = "Normal" if succeeded else "Warning"
            yield Event(kind, f"Job{condition.type}", condition.message)
