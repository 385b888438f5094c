"""Rules and budgets about failures, on a real API server."""

import pytest

pytestmark = pytest.mark.usefixtures("operator")


def rules(*entries):
    return {"rules": list(entries)}


def exit_codes(action, *values):
    return {"action": action, "onExitCodes": {"operator": "In", "values": list(values)}}


def test_a_rule_fails_the_job_and_another_ignores(job):
    policy = rules(exit_codes("Ignore", 3), exit_codes("FailJob", 4))
    digits = job(maxRestarts=0, failurePolicy=policy).start()
    digits.end("digits-1-0", 3)
    digits.until(lambda: digits.status["restarts"]["ignored"] == 1, "the failure to be ignored")
    digits.until_pods("digits-0-0", "digits-1-0", "digits-1-1")
    digits.run("digits-1-1")
    digits.end("digits-1-1", 4, message="ValueError: bad")
    failed = digits.until_condition("Failed", "FailurePolicy")
    assert failed["message"] == (
        "pod digits-1-1 failed with exit code 4: ValueError: bad;"
        " failurePolicy.rules[1] says FailJob"
    )
    digits.until_event("JobFailed", failed["message"])


def test_a_preempted_pod_may_fail_the_job(job, kubectl):
    reason = {"type": "DisruptionTarget", "reason": "PreemptionByScheduler"}
    digits = job(failurePolicy=rules({"action": "FailJob", "onPodConditions": [reason]})).start()
    taken = {**reason, "status": "True", "message": "preempted", "lastTransitionTime": NOW}
    kubectl.patch_status("pod", "digits-1-0", {"phase": "Failed", "conditions": [taken]})
    failed = digits.until_condition("Failed", "FailurePolicy")
    assert "was taken away (PreemptionByScheduler: preempted)" in failed["message"]


NOW = "2026-11-23T12:00:00Z"


def test_failures_beyond_the_budget_of_a_while_fail_the_job(job):
    budget = {"budget": {"windowSeconds": 3600, "maxRestartsPerWindow": 1}}
    digits = job(maxRestarts=99, failurePolicy=budget).start()
    for number in (2, 3):
        digits.form(number, "digits-0-0", "digits-1-0", cause="restart", reason="digits-1-0 failed")
        reached = f"round {number}"
        digits.until(lambda n=number: digits.status["rendezvous"]["round"] == n, reached)
    failed = digits.until_condition("Failed", "RestartBudgetExceeded")
    assert "failed 2 times within 3600 s, failurePolicy.budget allows 1" in failed["message"]


def test_a_job_that_gets_nowhere_is_stopped_with_the_reason(job):
    digits = job(maxRestarts=99, failurePolicy={"noProgressRounds": 2}).start()
    for number in (2, 3):
        digits.form(number, "digits-0-0", "digits-1-0", cause="restart", reason="digits-1-0 failed")
        reached = f"round {number}"
        digits.until(lambda n=number: digits.status["rendezvous"]["round"] == n, reached)
    failed = digits.until_condition("Failed", "NoProgress")
    assert "2 rounds in a row failed before 60 s had passed" in failed["message"]
