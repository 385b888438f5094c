"""The failure policy: what each rule holds for, what follows, and how budgets are counted."""

from dataclasses import replace
from datetime import timedelta

import builders
import pytest
from builders import a_job, a_pod, a_round, deleting, ended, seen
from decisions import created, news, planned, told, written

from elasticjob_operator import endings
from elasticjob_operator.failure_policy import FailureBudget, FailurePolicy, FailureRule
from elasticjob_operator.last_words import LastWords
from elasticjob_operator.pod_facts import Container, PodCondition
from elasticjob_operator.policies import failures


def rule(action="FailJob", **on):
    return FailureRule.model_validate({"action": action, **on})


def policy(*rules, **fields):
    return FailurePolicy(rules=rules, **fields)


def exit_codes(operator, *values, **more):
    return {"onExitCodes": {"operator": operator, "values": values, **more}}


def signals(operator, *values):
    return {"onSignals": {"operator": operator, "values": values}}


def conditions(kind, **more):
    return {"onPodConditions": [{"type": kind, **more}]}


PREEMPTED = replace(
    deleting(a_pod(1)),
    disruption="PreemptionByScheduler: preempted",
    conditions=(PodCondition("DisruptionTarget", "True", "PreemptionByScheduler"),),
)
EVICTED = replace(
    a_pod(1), phase="Failed", phase_reason="Evicted", training=Container(), phase_message="disk"
)
OUT_OF_MEMORY = ended(a_pod(1), 137, reason="OOMKilled")
PROXY_FAILED = replace(ended(a_pod(1), 1), exit_codes=(("trainer", 1), ("proxy", 7)))


# --- what a rule holds for ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "pod", "holds"),
    [
        (exit_codes("In", 3, 4), ended(a_pod(1), 3), True),
        (exit_codes("In", 3, 4), ended(a_pod(1), 5), False),
        (exit_codes("NotIn", 3, 4), ended(a_pod(1), 5), True),
        (exit_codes("NotIn", 3, 4), ended(a_pod(1), 3), False),
        (exit_codes("NotIn", 3), EVICTED, False),  # it has no exit code
        (exit_codes("In", 7), PROXY_FAILED, False),
        (exit_codes("In", 7, containerName="proxy"), PROXY_FAILED, True),
        (exit_codes("NotIn", 7, containerName="other"), PROXY_FAILED, False),
        (signals("In", 11), ended(a_pod(1), 139), True),
        (signals("In", 11), ended(a_pod(1), 1, signal=11), True),
        (signals("In", 11), ended(a_pod(1), 11), False),
        (signals("NotIn", 11), ended(a_pod(1), 134), True),
        (signals("NotIn", 11), ended(a_pod(1), 1), False),
        ({"onReasons": ["OOMKilled"]}, OUT_OF_MEMORY, True),
        ({"onReasons": ["OOMKilled"]}, ended(a_pod(1), 137), False),
        ({"onReasons": ["Evicted"]}, EVICTED, True),
        ({"onReasons": ["Preempted"]}, PREEMPTED, True),
        ({"onReasons": ["PreemptionByScheduler"]}, PREEMPTED, True),
        ({"onReasons": ["PodDeleted"]}, deleting(a_pod(1)), True),
        (conditions("DisruptionTarget"), PREEMPTED, True),
        (conditions("DisruptionTarget"), OUT_OF_MEMORY, False),
        (conditions("DisruptionTarget", status="False"), PREEMPTED, False),
        (conditions("DisruptionTarget", reason="PreemptionByScheduler"), PREEMPTED, True),
        (conditions("DisruptionTarget", reason="EvictionByEvictionAPI"), PREEMPTED, False),
    ],
)
def test_a_rule_holds_for_what_it_names(on, pod, holds):
    failure = failures.signs(pod, endings.classify(pod))
    assert failures.holds(rule(**on), failure) is holds


@pytest.mark.parametrize(
    ("on", "exit_code", "holds"),
    [
        (exit_codes("In", 3), 3, True),
        (exit_codes("In", 3), None, False),
        (exit_codes("In", 139), -11, True),
        (signals("In", 11), -11, True),
        (signals("In", 11), 1, False),
        ({"onReasons": ["WorkerFailed"]}, None, True),
        ({"onReasons": ["Error"]}, 1, False),
    ],
)
def test_a_rule_holds_for_a_worker_that_failed_in_a_pod_that_lives_on(on, exit_code, holds):
    job = a_job(failure_policy=policy(rule(**on)))
    verdict = failures.of_workers(job.spec, {"digits-1-0": LastWords("", exit_code)})
    assert (verdict is not None) is holds


def test_the_first_rule_that_holds_decides():
    rules = policy(rule("Ignore", **exit_codes("In", 3)), rule(**exit_codes("NotIn", 4)))
    job = a_job(max_restarts=0, failure_policy=rules)
    assert planned(seen(job).pods(a_pod(0), ended(a_pod(1), 3))).over is None
    over = planned(seen(job).pods(a_pod(0), ended(a_pod(1), 5))).over
    assert over.message.endswith("failurePolicy.rules[1] says FailJob")


def test_success_is_not_asked_about():
    job = a_job(failure_policy=policy(rule(onReasons=["Completed"])))
    assert planned(seen(job).pods(a_pod(0), ended(a_pod(1), 0))).over is None


# --- what follows ------------------------------------------------------------------------------


def test_fail_job_fails_the_job_with_the_rule_and_what_the_pod_said():
    job = a_job(failure_policy=policy(rule(**exit_codes("In", 3))))
    over = planned(seen(job).pods(a_pod(0), ended(a_pod(1), 3, message="ValueError: bad"))).over
    assert (over.condition, over.reason) == ("Failed", "FailurePolicy")
    assert over.message == (
        "pod digits-1-0 failed with exit code 3: ValueError: bad;"
        " failurePolicy.rules[0] says FailJob"
    )


def test_what_is_ignored_counts_nowhere_and_is_replaced_after_the_back_off():
    job = a_job(max_restarts=0, failure_policy=policy(rule("Ignore", **exit_codes("In", 3))))
    failed = ended(a_pod(1), 3, finished_at=builders.NOW)
    now = seen(job).pods(a_pod(0), failed)
    assert planned(now).over is None
    counts = planned(now).facts.restarts
    assert (counts.ignored, counts.counted) == (1, 0)
    assert created(told(now)) == []
    assert created(told(now).later(1)) == ["digits-1-1"]
    assert (
        "FailureIgnored",
        "pod digits-1-0 failed with exit code 3; failurePolicy says to ignore it",
    ) in news(now)


def test_restart_pod_counts_what_would_be_the_infrastructures():
    job = a_job(max_restarts=0, failure_policy=policy(rule("RestartPod", onReasons=["OOMKilled"])))
    over = planned(seen(job).pods(a_pod(0), OUT_OF_MEMORY)).over
    assert over.reason == "MaxRestartsExceeded"
    assert "was killed for lack of memory" in over.message


def test_without_a_rule_the_default_stands():
    job = a_job(failure_policy=policy(rule(**exit_codes("In", 3))))
    counts = planned(seen(job).pods(ended(a_pod(0), 1), OUT_OF_MEMORY)).facts.restarts
    assert (counts.pod, counts.infrastructure) == (1, 1)


def restarted(job, *, exit_code=None, said="ValueError: bad"):
    """A job whose round 2 was formed because digits-1-0 failed and lives on."""
    both = (a_pod(0), a_pod(1))
    first, second = a_round(1, *both), a_round(2, *both, cause="restart", reason="digits-1-0 again")
    now = told(seen(job).pods(*both).rounds(first)).rounds(first, second)
    return now.said({"digits-1-0": said}, exit_code)


def test_a_rule_may_fail_the_job_for_a_worker_that_failed_in_a_pod_that_lives_on():
    job = a_job(failure_policy=policy(rule(**exit_codes("In", 3))))
    over = planned(restarted(job, exit_code=3)).over
    assert over.message == "digits-1-0 again: ValueError: bad; failurePolicy.rules[0] says FailJob"
    assert planned(restarted(job, exit_code=4)).over is None


def test_a_round_may_be_ignored():
    job = a_job(max_restarts=0, failure_policy=policy(rule("Ignore", onReasons=["WorkerFailed"])))
    now = restarted(job)
    assert planned(now).over is None
    counts = planned(now).facts.restarts
    assert (counts.worker, counts.ignored) == (0, 1)


KILLED = "out of memory: the kernel killed a process of the container, which may use 768 MiB"


def test_a_worker_that_the_kernel_killed_for_memory_is_told_so_and_counts():
    """A script that needs too much would be started again for ever."""
    failure = planned(restarted(a_job(), said=KILLED, exit_code=-9)).facts.last_failure
    assert (failure.reason, failure.exit_code) == ("OOMKilled", -9)
    assert failure.message == f"digits-1-0 again: {KILLED}"
    now = restarted(a_job(), said=KILLED, exit_code=-9)
    assert news(now)[0] == ("WorkerFailed", failure.message)
    assert "WorkerFailed" not in dict(news(told(now)))
    job = a_job(max_restarts=0, failure_policy=policy(rule("Ignore", onReasons=["OOMKilled"])))
    assert planned(restarted(job, said=KILLED)).over is None
    assert planned(restarted(job, said="ValueError: bad")).over.reason == "MaxRestartsExceeded"


def test_the_last_failure_has_the_workers_exit_code():
    failure = planned(restarted(a_job(), exit_code=-11)).facts.last_failure
    assert (failure.pod, failure.rank, failure.exit_code) == ("digits-1-0", 1, -11)


# --- what is told to those who count while the operator is away ----------------------------------


@pytest.mark.parametrize(
    ("rules", "left"),
    [((), 2), ((rule(**exit_codes("In", 3)),), 2), ((rule("Ignore", onReasons=["X"]),), None)],
    ids=["no rule", "a rule", "some are ignored"],
)
def test_the_workers_are_told_how_many_failures_maxrestarts_lets_pass(rules, left):
    job = a_job(max_restarts=3, failure_policy=policy(*rules))
    (settings,) = written(seen(job).pods(a_pod(0), ended(a_pod(1), 1)))
    assert settings.failures_left == left


# --- the budget --------------------------------------------------------------------------------


def fail_at(snapshot, index, attempt, seconds, code=1):
    """Have a pod fail so many seconds later."""
    at = builders.NOW + timedelta(seconds=seconds)
    pod = ended(a_pod(index, attempt), code, finished_at=at)
    later = replace(snapshot.observed, now=at, pods=(a_pod(0), pod))
    return told(builders.Seen(later))


BUDGET = policy(budget=FailureBudget(window_seconds=100, max_restarts_per_window=2))


@pytest.mark.parametrize(
    ("times", "fails"),
    [
        ([0, 10], False),
        ([0, 10, 20], True),
        ([0, 50, 100], True),
        ([0, 50, 101], False),
        ([0, 90, 180, 270, 360], False),
        ([0, 90, 180, 185], True),
    ],
)
def test_more_failures_within_the_window_than_the_budget_allows_fail_the_job(times, fails):
    now = seen(a_job(max_restarts=99, failure_policy=BUDGET))
    for attempt, seconds in enumerate(times):
        now = fail_at(now, 1, attempt, seconds)
    over = planned(now).over
    assert (over is not None) is fails
    if over:
        assert over.reason == "RestartBudgetExceeded"
        assert "failed 3 times within 100 s, failurePolicy.budget allows 2" in over.message
    assert len(now.observed.status.restarts.recent) <= 3


def test_the_infrastructure_uses_up_no_budget():
    now = seen(a_job(failure_policy=BUDGET))
    for attempt in range(9):
        now = fail_at(now, 1, attempt, attempt, code=137)
    assert planned(now).over is None
    assert now.observed.status.restarts.recent == ()


def test_rounds_that_failed_while_nobody_looked_use_up_no_budget():
    """When they failed is not known, and all of them are found at once."""
    both = (a_pod(0), a_pod(1))
    rounds = [a_round(n, *both, cause="restart" if n > 1 else "start") for n in range(1, 9)]
    now = seen(a_job(max_restarts=99, failure_policy=BUDGET)).pods(*both)
    late = now.rounds(*(replace(formed, late=True) for formed in rounds))
    assert planned(late).over is None
    assert planned(late).facts.restarts.worker == 7
    assert planned(now.rounds(*rounds)).over.reason == "RestartBudgetExceeded"


# --- no progress -------------------------------------------------------------------------------


def rounds_that_stood(*seconds, policy, cause="restart"):
    """Have rounds formed, each ended by a failure after so many seconds."""
    both, at = (a_pod(0), a_pod(1)), builders.NOW
    now, formed = seen(a_job(max_restarts=99, failure_policy=policy)).pods(*both), []
    for number, stood in enumerate([*seconds, 0], start=1):
        one = a_round(number, *both, cause=cause if number > 1 else "start")
        one = replace(one, at=at, record=replace(one.record, seconds=0.0))
        formed.append(one)
        now = told(builders.Seen(replace(now.rounds(*formed).observed, now=at)))
        at += timedelta(seconds=stood)
    return now


STUCK = policy(no_progress_rounds=3, progress_seconds=60)


@pytest.mark.parametrize(
    ("stood", "fails"),
    [((5, 5), False), ((5, 5, 5), True), ((5, 5, 60, 5, 5), False), ((60, 5, 59, 5), True)],
)
def test_rounds_that_fail_again_and_again_before_they_stood_long_enough_fail_the_job(stood, fails):
    over = planned(rounds_that_stood(*stood, policy=STUCK)).over
    assert (over is not None) is fails
    if over:
        assert over.reason == "NoProgress"
        assert over.message.startswith(
            "3 rounds in a row failed before 60 s had passed, failurePolicy.noProgressRounds is 3"
        )


def test_rounds_that_the_infrastructure_ends_are_not_held_against_the_job():
    assert planned(rounds_that_stood(5, 5, 5, 5, policy=STUCK, cause="lost")).over is None


def test_never_without_being_asked_to():
    assert planned(rounds_that_stood(*[1] * 20, policy=policy())).over is None


def test_a_pod_that_fails_ends_its_round_once():
    """Its peers fail, too, and may take their pods with them."""
    now = rounds_that_stood(policy=STUCK)
    at = builders.NOW + timedelta(seconds=5)
    failed = [ended(a_pod(index), 1, finished_at=at) for index in (0, 1)]
    counts = planned(builders.Seen(replace(now.pods(*failed).observed, now=at))).facts.restarts
    assert (counts.pod, counts.rounds_without_progress, counts.last_failed_round) == (2, 1, 1)
