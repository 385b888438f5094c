"""What the failure policy says to a failure: the first rule that holds decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from elasticjob_operator import api, endings
from elasticjob_operator.endings import Ending
from elasticjob_operator.failure_policy import FailureRule, OnExitCodes, OnPodCondition, OnSignals
from elasticjob_operator.last_words import LastWords
from elasticjob_operator.pod_facts import Container, PodCondition, WorkerPod

SIGNALLED: Final = 128
"""A shell's exit code for a program that a signal ended is this and the signal's number."""
LAST_SIGNAL: Final = 64

_SYNONYMS: Final = {"PreemptionByScheduler": "Preempted", "EvictionByEvictionAPI": "Evicted"}


@dataclass(frozen=True)
class Signs:
    """What a failure shows.

    Attributes:
        pod: Where it happened.
        exit_code: The training's.
        exit_codes: Those of all containers that ended, by container.
        reasons: The words that the pod shows for its end.
    """

    pod: str
    exit_code: int | None = None
    exit_codes: Mapping[str, int] = field(default_factory=dict)
    signal: int = 0
    reasons: frozenset[str] = frozenset()
    conditions: tuple[PodCondition, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The rule that holds, by its place in the list (from 0), and for which pod it does."""

    rule: FailureRule
    index: int
    pod: str

    @property
    def words(self) -> str:
        return f"failurePolicy.rules[{self.index}] says {self.rule.action}"


def judge(spec: api.ElasticJobSpec, pod: WorkerPod | None, ending: Ending) -> Ending:
    """Return the pod's end on the account on which the policy's rules put it."""
    verdict = of_pod(spec, pod, ending)
    if verdict is None or verdict.rule.action == "FailJob":
        return ending
    account: endings.Account = "ignored" if verdict.rule.action == "Ignore" else "own"
    return replace(ending, account=account)


def of_pod(spec: api.ElasticJobSpec, pod: WorkerPod | None, ending: Ending) -> Verdict | None:
    """Return what the rules say to the end of this pod; None where they say nothing."""
    if ending.account == "success":
        return None
    return decide(spec.failure_policy.rules, [signs(pod, ending)])


def of_workers(
    spec: api.ElasticJobSpec, said: Mapping[str, LastWords], reason: str = "WorkerFailed"
) -> Verdict | None:
    """Return what the rules say to workers that failed in these pods, which live on."""
    failed = [_worker(pod, words, reason) for pod, words in said.items()]
    return decide(spec.failure_policy.rules, failed)


def decide(rules: Sequence[FailureRule], failures: Iterable[Signs]) -> Verdict | None:
    """Return the first rule that holds for one of these failures, which are one event."""
    failed = list(failures)
    for index, rule in enumerate(rules):
        for one in failed:
            if holds(rule, one):
                return Verdict(rule, index, one.pod)
    return None


def holds(rule: FailureRule, failure: Signs) -> bool:
    """Return whether the rule is about this failure."""
    if rule.on_exit_codes:
        return _by_exit_code(rule.on_exit_codes, failure)
    if rule.on_signals:
        return _by_signal(rule.on_signals, failure)
    if rule.on_reasons:
        return not failure.reasons.isdisjoint(rule.on_reasons)
    wanted = rule.on_pod_conditions or ()
    return any(_is(one, there) for one in wanted for there in failure.conditions)


def signs(pod: WorkerPod | None, ending: Ending) -> Signs:
    """Return what the end of this pod shows; of one that vanished, that it did.

    Of a pod that is deleted it does not matter what its containers return after that.
    """
    if pod is None:
        return Signs("", reasons=frozenset({ending.reason}))
    training = Container() if pod.deleting else pod.training
    conditions = [there.reason for there in pod.conditions if there.status == "True"]
    words = {ending.reason, training.reason, pod.phase_reason, *conditions}
    words |= {_SYNONYMS[word] for word in words if word in _SYNONYMS}
    return Signs(
        pod=pod.name,
        exit_code=training.exit_code,
        exit_codes={} if pod.deleting else dict(pod.exit_codes),
        signal=training.signal or _signal(training.exit_code),
        reasons=frozenset(words - {""}),
        conditions=pod.conditions,
    )


def _worker(pod: str, said: LastWords, reason: str) -> Signs:
    code, reasons = said.exit_code, frozenset({reason})
    reasons |= {"OOMKilled"} if said.lacked_memory else set()
    if code is not None and code < 0:
        return Signs(pod, exit_code=SIGNALLED - code, signal=-code, reasons=reasons)
    return Signs(pod, exit_code=code, signal=_signal(code), reasons=reasons)


def _signal(exit_code: int | None) -> int:
    signal = (exit_code or 0) - SIGNALLED
    return signal if 1 <= signal <= LAST_SIGNAL else 0


def _by_exit_code(wanted: OnExitCodes, failure: Signs) -> bool:
    name = wanted.container_name
    code = failure.exit_codes.get(name) if name else failure.exit_code
    return bool(code) and (code in wanted.values) == (wanted.operator == "In")


def _by_signal(wanted: OnSignals, failure: Signs) -> bool:
    signal = failure.signal
    return bool(signal) and (signal in wanted.values) == (wanted.operator == "In")


def _is(wanted: OnPodCondition, there: PodCondition) -> bool:
    same = (wanted.type, wanted.status) == (there.type, there.status)
    return same and wanted.reason in {None, there.reason}
