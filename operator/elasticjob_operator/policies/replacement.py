"""How long the replacement of a pod waits.

What the infrastructure took is replaced at once. A pod that failed by itself, that was killed where
it ran, or that its node refused to run, would come to the same end again and again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from elasticjob_operator import backoff, endings
from elasticjob_operator.pod_facts import WorkerPod
from elasticjob_operator.policies import Facts, failures

RAN_WELL_S: Final = 600.0
"""Training that ran for so long does not fail again at once: the waits begin anew."""
_KILLED: Final = frozenset({"OOMKilled", "Killed"})


def waits_s(last: WorkerPod, facts: Facts) -> float:
    """Return for how long the replacement of this pod, the last of its index, must still wait."""
    count = _failures(last, facts)
    if not count:
        return 0.0
    policy = facts.observed.spec.run_policy.backoff
    count = 1 if _ran_s(last) >= RAN_WELL_S else count
    delay_s = backoff.delay_s(policy.initial_seconds, count, policy.max_seconds)
    due = last.ended_at + timedelta(seconds=delay_s)
    return max(0.0, (due - facts.observed.now).total_seconds())


def awaited(facts: Facts) -> set[str]:
    """Return the failed pods off which it is read how long their replacements wait."""
    return {pod.name for pod in facts.observed.pods if pod.failed and waits_s(pod, facts) > 0}


def _failures(last: WorkerPod, facts: Facts) -> int:
    """Return how often in a row this happened, 0 if its replacement need not wait."""
    ending, restarts = endings.classify(last), facts.restarts
    judged = failures.judge(facts.observed.spec, last, ending)
    if "own" in {ending.account, judged.account}:
        return max(restarts.pod + restarts.ignored, 1)
    refused = last.ended and not last.deleting and last.training.started_at is None
    return last.attempt + 1 if refused or ending.reason in _KILLED else 0


def _ran_s(pod: WorkerPod) -> float:
    began, ended = pod.training.started_at, pod.training.finished_at
    return (ended - began).total_seconds() if began and ended else 0.0
