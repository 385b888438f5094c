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
