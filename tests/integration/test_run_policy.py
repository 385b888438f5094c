"""Suspending and resuming, the deadline and the time to live, on a real API server."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("operator")


def patch(kubectl, **run_policy):
    change = json.dumps({"spec": {"runPolicy": run_policy}})
    kubectl("patch", "ej", "digits", "--type=merge", f"--patch={change}")


def test_a_job_that_is_created_suspended_creates_nothing_until_it_is_resumed(job, kubectl):
    digits = job(runPolicy={"suspend": True})
    told = digits.until_condition("Suspended", "JobSuspended")
    assert told["message"] == "the job is suspended; no pod is left"
    assert "startTime" not in digits.status
    assert kubectl.names("pods") == []
    assert kubectl.names("serviceaccounts") == ["default"]
    patch(kubectl, suspend=False)
    digits.until_pods("digits-0-0", "digits-1-0")
    digits.until_condition("Suspended", "JobResumed", "False")
    assert "startTime" in digits.status


def test_a_suspended_job_goes_on_with_the_next_round_when_it_is_resumed(job, kubectl):
    digits = job().start()
    patch(kubectl, suspend=True)
    digits.until_pods()
    digits.until_condition("Suspended", "JobSuspended")
    digits.until(digits.is_emptied, "the store to be emptied")
    status = digits.status
    assert (status["phase"], status["rendezvous"]["round"]) == ("Suspended", 1)
    patch(kubectl, suspend=False)
    digits.until_pods("digits-0-1", "digits-1-1")
    assert digits.settings().round_floor == 1
    digits.run("digits-0-1", "digits-1-1")
    digits.join("digits-0-1", "digits-1-1")
    digits.form(2, "digits-0-1", "digits-1-1")
    digits.until_condition("Ready", "RoundFormed")
    status = digits.until(
        lambda: (s := digits.status)["rendezvous"]["round"] == 2 and s, "round 2 in the status"
    )
    restarts = status["restarts"]
    assert (restarts["counted"], restarts["infrastructure"]) == (0, 0)
    digits.until(lambda: {"JobSuspended", "JobResumed"} <= set(digits.reasons()), "the events")


def test_the_jobs_own_store_goes_with_its_pods_and_comes_back(job, kubectl):
    digits = job(rendezvous={"etcd": {"endpoints": []}})
    digits.until(lambda: "digits-rdzv" in kubectl.names("statefulsets"), "the store")
    digits.until(lambda: "digits-rdzv-0" in kubectl.names("pods"), "the store's pod")
    patch(kubectl, suspend=True)
    digits.until(lambda: kubectl.names("statefulsets") == [], "the store to be gone")
    digits.until(lambda: kubectl.names("pods") == [], "the store's pod to be gone")
    patch(kubectl, suspend=False)
    digits.until(lambda: "digits-rdzv" in kubectl.names("statefulsets"), "the store again")
    digits.until(lambda: "digits-rdzv" in kubectl.names("services"), "its service again")


def test_a_job_beyond_its_deadline_is_failed(job, kubectl):
    digits = job(runPolicy={"activeDeadlineSeconds": 2})
    failed = digits.until_condition("Failed", "DeadlineExceeded")
    assert "after 2 s" in failed["message"]
    digits.until_pods()


def test_a_job_that_is_over_is_deleted_after_its_time_to_live(job, kubectl):
    digits = job(runPolicy={"ttlSecondsAfterFinished": 1}).start()
    digits.end("digits-0-0", 0)
    digits.end("digits-1-0", 0)
    digits.until(lambda: kubectl.get("ej", "digits") is None, "the job to be deleted")
    digits.until(lambda: kubectl.names("pods") == [], "its pods to be gone")
    digits.until(digits.is_emptied, "the external store to be emptied")
