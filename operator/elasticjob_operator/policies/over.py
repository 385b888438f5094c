"""When a job is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from elasticjob_operator import conditions, endings, history
from elasticjob_operator.observed import Observed
from elasticjob_operator.policies import Facts, size, suspension


@dataclass(frozen=True)
class Over:
    """The job is Complete or Failed, and stays so."""

    condition: Literal["Complete", "Failed"]
    reason: str
    message: str


def was_over(facts: Facts) -> Over | None:
    """What was decided once stands."""
    for condition in facts.observed.status.conditions:
        if conditions.ends_job(condition):
            kind: Literal["Complete", "Failed"] = (
                "Complete" if condition.type == "Complete" else "Failed"
            )
            return Over(kind, condition.reason, condition.message)
    return None


def round_succeeded(facts: Facts) -> Over | None:
    """All workers of the last round ended with success; late pods do not matter."""
    told = facts.rendezvous
    members = history.last_members(facts.observed.store, facts.rendezvous)
    observed = facts.observed
    unlisted = told.workers - len(members)
    if unlisted > 0 and not _all_succeeded(observed, told.workers):
        return None
    # What is told to stop may well end with success before its work is done.
    told_to_stop = suspension.is_wanted(observed)
    done = {p.name for p in observed.pods if p.succeeded and not (told_to_stop and p.deleting)}
    members -= {pod.name for pod in observed.pods if observed.drains(pod)}
    members -= {left.name for left in observed.store.left if left.cause == "drained"}
    done |= {left.name for left in observed.store.left if left.cause == "finished"}
    if not members or not members <= done:
        return None
    count = len(members) + max(0, unlisted)
    workers = f"all {count} workers" if count > 1 else "the only worker"
    return Over("Complete", "RoundSucceeded", f"{workers} of round {told.round} ended with success")


def _all_succeeded(observed: Observed, workers: int) -> bool:
    """Whether nobody works any more, and so many have ended well.

    The status lists but the first of a large round's members, and the store may have forgotten it.
    """
    if any(pod.alive for pod in observed.pods):
        return False
    return sum(pod.succeeded for pod in observed.pods) >= workers


def never_started(facts: Facts) -> Over | None:
    """A command that does not exist will not exist next time either."""
    if facts.rendezvous.round:
        return None
    for ended in facts.ended:
        if ended.ending.account == "own" and ended.ending.cannot_start:
            return Over("Failed", ended.ending.reason, f"pod {ended.name} {ended.ending.message}")
    return None


def never_met(facts: Facts) -> Over | None:
    """All have ended well, each by itself: nobody would ever form a round."""
    observed = facts.observed
    done = sum(pod.succeeded and not observed.drains(pod) for pod in observed.pods)
    unended = any(pod.alive for pod in observed.pods)
    if facts.rendezvous.round or not observed.store.reachable or unended:
        return None
    if done < size.pods(observed.spec):
        return None
    workers = f"all {done} workers" if done > 1 else "the only worker"
    words = f"{workers} ended with success, but formed no round: does the command run torchrun?"
    return Over("Failed", "NoRound", words)


def rule_fails(facts: Facts) -> Over | None:
    """A rule of the failure policy says FailJob."""
    if not facts.verdict:
        return None
    return Over("Failed", "FailurePolicy", facts.verdict[-endings.MESSAGE_CHARS :])


def too_many_restarts(facts: Facts) -> Over | None:
    """Training failed by itself more often than maxRestarts allows."""
    allowed, restarts = facts.observed.spec.max_restarts, facts.restarts
    if restarts.counted <= allowed:
        return None
    message = (
        f"training failed {_times(restarts.counted)}, maxRestarts is {allowed}"
        f" ({_count(restarts.worker, 'round')} restarted by a worker,"
        f" {_count(restarts.pod, 'pod')} failed){_last(facts)}"
    )
    return Over("Failed", "MaxRestartsExceeded", message[: endings.MESSAGE_CHARS])


def failures_left(facts: Facts) -> int | None:
    """Return how many more failures maxRestarts lets pass, for who counts while nobody else does.

    None where a rule says to ignore some: which ones is not known there.
    """
    spec = facts.observed.spec
    if any(rule.action == "Ignore" for rule in spec.failure_policy.rules):
        return None
    return max(0, spec.max_restarts - facts.restarts.counted)


def too_often(facts: Facts) -> Over | None:
    """Training failed by itself more often within a while than the budget allows."""
    budget, count = facts.observed.spec.failure_policy.budget, len(facts.restarts.recent)
    if budget is None or count <= budget.max_restarts_per_window:
        return None
    message = (
        f"training failed {_times(count)} within {budget.window_seconds} s, failurePolicy.budget"
        f" allows {budget.max_restarts_per_window}{_last(facts)}"
    )
    return Over("Failed", "RestartBudgetExceeded", message[: endings.MESSAGE_CHARS])


def no_progress(facts: Facts) -> Over | None:
    """Round after round, training fails before it has got anywhere."""
    policy, count = facts.observed.spec.failure_policy, facts.restarts.rounds_without_progress
    if policy.no_progress_rounds is None or count < policy.no_progress_rounds:
        return None
    message = (
        f"{_count(count, 'round')} in a row failed before {policy.progress_seconds} s had passed,"
        f" failurePolicy.noProgressRounds is {policy.no_progress_rounds}{_last(facts)}"
    )
    return Over("Failed", "NoProgress", message[: endings.MESSAGE_CHARS])


def deadline_exceeded(facts: Facts) -> Over | None:
    """The job has run for as long as it may."""
    left_s = deadline_s(facts.observed)
    if left_s is None or left_s > 0:
        return None
    allowed_s = facts.observed.spec.run_policy.active_deadline_seconds
    words = f"the job was not over after {allowed_s} s, its runPolicy.activeDeadlineSeconds"
    return Over("Failed", "DeadlineExceeded", words)


def deadline_s(observed: Observed) -> float | None:
    """Return how long the job may still run; None without a limit, or while it is suspended."""
    allowed_s = observed.spec.run_policy.active_deadline_seconds
    started_at = suspension.started_at(observed)
    if allowed_s is None or started_at is None or suspension.is_wanted(observed):
        return None
    return allowed_s - (observed.now - started_at).total_seconds()


def _last(facts: Facts) -> str:
    return f"; last: {facts.last_failure.message}" if facts.last_failure else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


CHECKS: tuple[Callable[[Facts], Over | None], ...] = (
    was_over,
    round_succeeded,
    rule_fails,
    never_started,
    never_met,
    too_many_restarts,
    too_often,
    no_progress,
    deadline_exceeded,
)
