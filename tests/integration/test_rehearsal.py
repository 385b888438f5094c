"""The job of `helm test`, where no node runs it: it says why, and nothing of it is left."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def rehearse(kubectl):
    def run(timeout_s):
        return subprocess.run(
            [
                *(sys.executable, "-m", "elasticjob_operator.rehearsal"),
                *(f"--namespace={kubectl.namespace}", "--name=rehearsal", "--image=python:3.13"),
                f"--timeout={timeout_s}",
            ],
            env={**os.environ, "KUBECONFIG": str(kubectl.kubeconfig)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_it_fails_with_what_the_job_waits_for_and_deletes_it(rehearse, operator, kubectl):
    done = rehearse(timeout_s=4)
    assert done.returncode == 1
    assert "failed: " in done.stderr
    assert "no status" not in done.stderr
    assert "Traceback" not in done.stderr
    assert kubectl.get("elasticjob", "rehearsal") is None


def test_without_an_operator_it_asks_for_one(rehearse, kubectl):
    done = rehearse(timeout_s=1)
    assert done.stderr == "failed: the job has no status: does the operator run?\n"
    assert kubectl.get("elasticjob", "rehearsal") is None


def start_worker(kubectl, name):
    """Run what the pod would run, with the environment that it would have."""
    pod = kubectl.get("pod", name)
    (container,) = pod["spec"]["containers"]
    fields = {
        "status.podIP": "127.0.0.1",
        "metadata.name": name,
        "metadata.uid": pod["metadata"]["uid"],
    }
    given = {
        entry["name"]: entry.get("value")
        or fields.get(entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath"), "")
        for entry in container["env"]
    }
    environ = {**os.environ, **given, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return subprocess.Popen([sys.executable, "-m", "rdzv_client.rehearsal"], env=environ)


def test_its_workers_complete_a_job(operator, job, kubectl):
    digits, pods = job(minReplicas=2, maxReplicas=2), ["digits-0-0", "digits-1-0"]
    digits.until_pods(*pods)
    digits.run(*pods)
    workers = [start_worker(kubectl, pod) for pod in pods]
    for pod, worker in zip(pods, workers, strict=True):
        assert worker.wait(timeout=60) == 0
        digits.end(pod, 0)
    complete = digits.until_condition("Complete", "RoundSucceeded")
    assert complete["message"] == "all 2 workers of round 1 ended with success"
