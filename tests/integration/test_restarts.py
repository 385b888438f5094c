"""The operator is killed at the worst moments: running jobs do not need it, and nothing is lost."""

import os
import subprocess
import sys

import pytest


def test_a_restarted_operator_makes_nothing_twice_and_says_nothing_twice(operator, job, kubectl):
    digits = job().start()
    before = (kubectl.names("pods"), digits.status, digits.reasons())
    operator.kill()
    operator.start()
    other = job("other")  # when it has pods, the operator has seen all there is
    other.until_pods("other-0-0", "other-1-0")
    pods = [name for name in kubectl.names("pods") if not name.startswith("other")]
    assert (pods, digits.status, digits.reasons()) == before


def test_what_happened_while_it_was_away_is_found_out(operator, job):
    digits = job().start()
    operator.kill()
    digits.remove("digits-1-0")
    digits.form(2, "digits-0-0", cause="lost", reason="digits-1-0 lost")
    digits.form(3, "digits-0-0", cause="restart", reason="digits-0-0 restarted")
    operator.start()
    digits.until_pods("digits-0-0", "digits-1-1")
    digits.until(lambda: digits.members() == ["digits-0-0"], "the lost member to be out")
    status = digits.until(
        lambda: (s := digits.status)["rendezvous"]["round"] == 3 and s, "round 3 in the status"
    )
    history = [(told["round"], told["cause"]) for told in status["rendezvous"]["history"]]
    assert history == [(1, "start"), (2, "lost"), (3, "restart")]
    restarts = status["restarts"]
    assert (restarts["worker"], restarts["infrastructure"]) == (1, 1)


def test_a_job_that_ended_while_it_was_away_is_complete(operator, job):
    digits = job().start()
    operator.kill()
    digits.end("digits-0-0", 0)
    digits.end("digits-1-0", 0)
    operator.start()
    digits.until_condition("Complete", "RoundSucceeded")


def test_a_job_that_is_deleted_while_it_is_away_leaves_nothing(operator, job, kubectl):
    digits = job().start()
    operator.kill()
    kubectl("delete", "ej", "digits", "--timeout=30s")
    digits.until(lambda: kubectl.names("pods") == [], "the pods to be gone")
    digits.until(lambda: kubectl.names("sa") == ["default"], "the account to be gone")
    operator.start()


def test_it_is_killed_again_and_again_while_a_job_grows(operator, job, kubectl):
    digits = job(replicas=4, minReplicas=1)
    for _ in range(4):
        operator.kill()
        operator.start()
    digits.until_pods(*[f"digits-{index}-0" for index in range(4)])
    digits.until(lambda: digits.status["attempts"]["created"] == [1, 1, 1, 1], "the book")
    assert len(kubectl.names("pods")) == 4


def test_it_ends_cleanly_when_it_is_told_to(operator, job):
    job().until_pods("digits-0-0", "digits-1-0")
    assert operator.stop() == 0
    operator.start()


@pytest.mark.parametrize(
    ("environment", "status", "words"),
    [
        ({"ELASTICJOB_OPERATOR_WORKERS": "many"}, 2, "allowed is a number from 1 to 1000"),
        ({"KUBECONFIG": "/nonexistent"}, 1, "no way to a cluster is known"),
    ],
)
def test_it_says_in_one_line_why_it_cannot_start(environment, status, words):
    done = subprocess.run(
        [sys.executable, "-m", "elasticjob_operator"],
        env={**os.environ, **environment},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


FORGED = [("x", "0"), ("", ""), ("999999999", "0"), ("9" * 63, "0"), ("0", "999999999")]


def test_pods_that_only_look_like_workers_hold_up_nothing_and_are_left_alone(
    operator, job, kubectl
):
    digits = job().start()
    operator.kill()
    real = kubectl.get("pod", "digits-0-0")["metadata"]
    for number, (index, attempt) in enumerate(FORGED):
        labels = {**real["labels"], "rdzv.dev/index": index, "rdzv.dev/attempt": attempt}
        owners = real["ownerReferences"]
        kubectl.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"f{number}", "labels": labels, "ownerReferences": owners},
                "spec": {"containers": [{"name": "trainer", "image": "trainer:1"}]},
            }
        )
    operator.start()
    kubectl("scale", "ej/digits", "--replicas=3")
    ours = ["digits-0-0", "digits-1-0", "digits-2-0"]
    digits.until_pods(*ours, *(f"f{number}" for number in range(len(FORGED))))
    digits.until(lambda: digits.status["attempts"]["created"] == [1, 1, 1], "three in the book")
    assert digits.status["restarts"]["infrastructure"] == 0
    assert "Traceback" not in operator.log
