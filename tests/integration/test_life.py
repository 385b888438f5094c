"""A job's life, from `kubectl create` to its end, against a real API server and a real etcd."""

import time
from dataclasses import replace

import builders
import pytest

pytestmark = pytest.mark.usefixtures("operator")

TOLD_LIMIT_S = 5.0


# --- starting ----------------------------------------------------------------------------------


def test_workers_are_made_when_the_store_knows_the_bounds(job, kubectl):
    digits = job(nprocPerNode=2)
    digits.until_pods("digits-0-0", "digits-1-0")
    told = digits.settings()
    assert (told.min_nodes, told.max_nodes, told.expected_nodes) == (2, 4, 2)
    pod = kubectl.get("pod", "digits-0-0")
    env = {e["name"]: e.get("value") for e in pod["spec"]["containers"][0]["env"]}
    assert env["PET_RDZV_ID"] == digits.keys.run_id
    assert env["PET_NNODES"] == "2:4"
    assert pod["spec"]["serviceAccountName"] == "digits-worker"
    assert "digits-worker" in kubectl.names("serviceaccounts")


def test_a_round_is_told_in_the_status_and_as_an_event(job, kubectl):
    digits = job(nprocPerNode=2).start()
    status = digits.status
    assert status["phase"] == "Running"
    assert status["readyOfWanted"] == "2/2"
    rendezvous = status["rendezvous"]
    assert (rendezvous["round"], rendezvous["worldSize"]) == (1, 4)
    assert [member["pod"] for member in rendezvous["members"]] == ["digits-0-0", "digits-1-0"]
    assert rendezvous["history"][0]["reason"] == "all joined"
    words = "round 1: 2 workers, world size 4, formed in 0.2 s; because all joined"
    digits.until_event("RoundFormed", words)
    columns = kubectl("get", "ej", "digits", "--no-headers").split()
    assert columns[:5] == ["digits", "Running", "1", "4", "2/2"]


def test_no_annotation_and_no_finalizer_is_left_on_the_job(job, kubectl):
    job().start()
    metadata = kubectl.get("ej", "digits")["metadata"]
    assert "annotations" not in metadata
    assert "finalizers" not in metadata


# --- changing ----------------------------------------------------------------------------------


def test_kubectl_scale_makes_and_deletes_workers(job, kubectl):
    digits = job().start()
    kubectl("scale", "ej/digits", "--replicas=4")
    digits.until_pods(*[f"digits-{index}-0" for index in range(4)])
    digits.until(lambda: digits.settings().expected_nodes == 4, "the store to know of four")
    kubectl("scale", "ej/digits", "--replicas=2")
    digits.until_pods("digits-0-0", "digits-1-0")
    assert digits.status["restarts"]["infrastructure"] == 0


def test_a_worker_that_is_deleted_leaves_the_store_at_once_and_is_replaced(job):
    digits = job().start()
    began = time.monotonic()
    digits.remove("digits-1-0")
    digits.until(lambda: digits.members() == ["digits-0-0"], "the member to be out")
    assert time.monotonic() - began < TOLD_LIMIT_S
    digits.until_pods("digits-0-0", "digits-1-1")
    assert [gone.reason for gone in digits.gone()] == ["its pod was deleted"]
    digits.until_event("WorkerLost", "pod digits-1-0 was deleted")
    digits.until_event("WorkersReplaced", "made digits-1-1 in place of earlier ones")
    assert digits.status["restarts"]["infrastructure"] == 1


def test_a_worker_that_is_killed_leaves_the_store_at_once(job):
    digits = job().start()
    began = time.monotonic()
    digits.end("digits-1-0", 137)
    digits.until(lambda: digits.members() == ["digits-0-0"], "the member to be out")
    assert time.monotonic() - began < TOLD_LIMIT_S
    digits.until_pods("digits-0-0", "digits-1-0", "digits-1-1")


def test_an_emptied_store_gets_its_bounds_again_with_the_round_reached(job):
    digits = job().start()
    digits.empty_store()
    digits.until(digits.settings, "the bounds to be back")
    assert digits.settings().round_floor == 1


# --- the end -----------------------------------------------------------------------------------


def test_a_job_is_complete_when_its_last_round_has_succeeded(job, kubectl):
    digits = job().start()
    digits.end("digits-0-0", 0)
    digits.end("digits-1-0", 0)
    kubectl("wait", "--for=condition=Complete", "ej/digits", "--timeout=30s")
    words = "all 2 workers of round 1 ended with success"
    assert digits.condition("Complete")["message"] == words
    digits.until(digits.is_emptied, "the external store to be emptied")
    assert digits.pods() == ["digits-0-0", "digits-1-0"], "finished pods stay for their logs"
    assert digits.status["rendezvous"]["history"][0]["round"] == 1
    digits.until_event("JobComplete", words)


def test_a_job_that_fails_too_often_is_failed_and_keeps_what_tells_why(job, kubectl):
    digits = job(maxRestarts=0).start()
    digits.end("digits-1-0", 1, message="ValueError: no such data set")
    kubectl("wait", "--for=condition=Failed", "ej/digits", "--timeout=30s")
    failed = digits.condition("Failed")
    assert failed["reason"] == "MaxRestartsExceeded"
    assert "ValueError: no such data set" in failed["message"]
    last = digits.status["lastFailure"]
    assert (last["pod"], last["rank"], last["exitCode"]) == ("digits-1-0", 1, 1)
    digits.until_pods("digits-1-0")
    digits.until(digits.is_emptied, "the external store to be emptied")


def test_rounds_that_a_failed_worker_restarts_count(job):
    digits = job(maxRestarts=1).start()
    digits.form(2, "digits-0-0", "digits-1-0", cause="restart", reason="digits-1-0 restarted")
    digits.until(lambda: digits.status["restarts"]["worker"] == 1, "the first to be counted")
    digits.form(3, "digits-0-0", "digits-1-0", cause="restart", reason="digits-1-0 restarted")
    failed = digits.until_condition("Failed", "MaxRestartsExceeded")
    assert "failed 2 times, maxRestarts is 1" in failed["message"]


# --- what cannot work --------------------------------------------------------------------------


def test_an_image_that_cannot_be_pulled_is_told_in_words_and_warned_of_once(job):
    digits = job()
    digits.until_pods("digits-0-0", "digits-1-0")
    for reason in ("ErrImagePull", "ImagePullBackOff", "ErrImagePull"):
        digits.wait_in_vain("digits-0-0", reason, "trainer:1: not found")
    told = digits.until_condition("Progressing", "ImagePullFailed", "False")
    assert "pod digits-0-0 cannot pull the image 'trainer:1'" in told["message"]
    assert "not found" in told["message"]
    digits.until(lambda: "ImagePullFailed" in digits.reasons(), "the event")
    assert digits.reasons().count("ImagePullFailed") == 1
    digits.until(lambda: digits.settings().expected_nodes == 1, "the others not to wait for it")


def test_a_command_that_does_not_exist_fails_the_job_at_once(job):
    digits = job()
    digits.until_pods("digits-0-0", "digits-1-0")
    words = 'exec: "torchrunn": executable file not found in $PATH'
    digits.end("digits-0-0", 128, reason="StartError", message=words)
    failed = digits.until_condition("Failed", "StartError")
    assert failed["message"] == f"pod digits-0-0 cannot start: {words}"
    digits.until_event("JobFailed", failed["message"])


def test_a_pod_that_the_api_server_refuses_is_told_in_its_words(job):
    trainer = {"name": "trainer", "image": "trainer:1", "resorces": {}}
    digits = job(template={"spec": {"containers": [trainer]}})
    told = digits.until_condition("Progressing", "ObjectRefused", "False")
    assert told["message"].startswith(
        "0 of 2 pods are there, at least 2 must run: the API server refuses the pod digits-0-0: "
    )
    assert 'unknown field "spec.containers[0].resorces"' in told["message"]


def test_pods_beyond_a_quota_are_told_and_made_when_there_is_room(job, kubectl):
    kubectl("create", "quota", "few", "--hard=pods=1")
    digits = job()
    told = digits.until_condition("Progressing", "ObjectRefused", "False")
    assert "exceeded quota: few" in told["message"]
    kubectl("delete", "quota", "few")
    digits.until_pods("digits-0-0", "digits-1-0")
    digits.until_condition("Progressing", "WaitingForPods")


def test_one_broken_job_does_not_hold_up_another(job):
    trainer = {"name": "trainer", "image": "trainer:1", "resorces": {}}
    broken = job("broken", template={"spec": {"containers": [trainer]}})
    broken.until_condition("Progressing", "ObjectRefused", "False")
    digits = job()
    digits.until(lambda: "digits-0-0" in digits.pods(), "the other job's pods")


def test_a_store_that_does_not_answer_is_told(job):
    digits = job(rendezvous={"etcd": {"endpoints": ["http://127.0.0.1:1"]}})
    told = digits.until_condition("RendezvousReady", "StoreUnreachable", "False")
    assert "etcd://127.0.0.1:1 does not answer" in told["message"]
    assert digits.pods() == []


def test_an_object_of_somebody_else_is_not_taken_over(job, kubectl):
    kubectl("create", "serviceaccount", "digits-worker")
    digits = job()
    told = digits.until_condition("Progressing", "ObjectRefused", "False")
    words = "the ServiceAccount digits-worker is there already and is not this job's"
    assert words in told["message"]
    assert "ownerReferences" not in kubectl.get("serviceaccount", "digits-worker")["metadata"]
    kubectl("delete", "serviceaccount", "digits-worker")
    digits.until_pods("digits-0-0", "digits-1-0")


def test_a_new_job_under_an_old_name_is_a_new_run(job, kubectl):
    first = job().start()
    kubectl("delete", "ej", "digits", "--wait=false")
    first.until(lambda: kubectl.get("ej", "digits") is None, "the old job to be gone")
    first.until_pods()
    second = job()
    second.until_pods("digits-0-0", "digits-1-0")
    assert second.keys.run_id != first.keys.run_id
    assert second.status.get("rendezvous", {}).get("round", 0) == 0


def test_jobs_of_one_name_never_meet_in_an_etcd_that_they_share(job, job_elsewhere):
    here, there = job().start(), job_elsewhere().start()
    assert here.keys.run_id != there.keys.run_id
    here.remove("digits-1-0")
    here.until(lambda: len(here.gone()) == 1, "the lost worker to be out")
    here.until_pods("digits-0-0", "digits-1-1")
    here.run("digits-1-1")
    here.join("digits-1-1")
    here.form(2, "digits-0-0", "digits-1-1")
    here.until(lambda: here.status["rendezvous"]["round"] == 2, "round 2")
    here.kubectl("delete", "ej", "digits")
    here.until(here.is_emptied, "what the job left to be gone")
    assert (there.gone(), there.members()) == ([], ["digits-0-0", "digits-1-0"])
    assert there.status["rendezvous"]["round"] == 1
    assert there.settings().expected_nodes == 2


def test_members_of_a_pod_that_nobody_knows_are_taken_out(job):
    digits = job().start()
    stranger = builders.a_member(builders.a_pod(7))
    digits.put_member(stranger)
    digits.until(lambda: stranger.name not in digits.members(), "the stranger to be out")


ELSEWHERE = "../../kube-system/pods/victim"


def test_what_workers_write_of_themselves_leads_the_operator_nowhere_else(operator, job):
    """They say how their pods are called, and may lie: no other object is looked at for it."""
    digits = job().start()
    stranger = replace(builders.a_member(builders.a_pod(7)), name="../secrets/victim")
    digits.put_member(stranger)
    digits.until(lambda: stranger.name not in digits.members(), "the stranger to be out")
    pods = [digits.as_seen(f"digits-{index}-0") for index in (0, 1)]
    names = (ELSEWHERE, "another-jobs-pod")
    liars = [replace(builders.a_pod(2 + n), name=name) for n, name in enumerate(names)]
    words = f"{ELSEWHERE}, another-jobs-pod restarted: their workers failed"
    digits.put_round(builders.a_round(2, *pods, *liars, cause="restart", reason=words))
    digits.until(lambda: digits.status["restarts"]["worker"] == 1, "the failure to be counted")
    asked = {(call.what, call.name) for call in operator.calls()}
    assert "victim" not in {name for _, name in asked}
    assert {name for what, name in asked if what == "pods/log"} <= {pod.name for pod in pods}
