"""Training progress, and training that stands still, on a real API server and a real etcd."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("operator")


def test_how_far_training_has_come_stands_in_the_status_and_its_column(job, kubectl):
    digits = job().start()
    assert "progress" not in digits.status
    digits.say("digits-1-0", 1, 7)
    digits.join("digits-1-0")  # news: progress by itself may take ten seconds
    digits.until(lambda: digits.status.get("progress", {}).get("step") == 7, "step 7")
    digits.say("digits-0-0", 1, 6, epoch=1.5, metrics={"loss": "0.2", "lr": "nan"})
    digits.join("digits-0-0")
    digits.until(lambda: digits.status["progress"]["rank"] == 0, "rank 0 to be heard")
    told = digits.status["progress"]
    assert told.pop("reportedAt")
    assert told == {
        "step": 6,
        "epoch": 1.5,
        "metrics": {"loss": "0.2", "lr": "nan"},
        "rank": 0,
        "pod": "digits-0-0",
        "round": 1,
        "stragglers": [],
    }
    header, row = kubectl("get", "elasticjob", "digits", "--output=wide").splitlines()
    assert row[header.index("STEP") :].split()[0] == "6"


def test_a_round_in_which_training_stands_still_is_ended_and_counts(job):
    policy = {"progressDeadlineSeconds": 5}
    digits = job(maxRestarts=0, failurePolicy=policy).start()
    digits.say("digits-0-0", 1, 7)
    digits.say("digits-1-0", 1, 6)
    words = "no step for 5 s in round 1; the last was step 7, told by rank 0"
    digits.until(lambda: digits.settings().stalled_round == 1, "the round to be ended")
    assert digits.settings().stalled_reason == words
    digits.until_condition("Progressing", "TrainingStalled")
    digits.until_event("TrainingStalled", f"{words}; its workers are stopped")
    digits.form(2, "digits-0-0", "digits-1-0", cause="stalled", reason=words)
    failed = digits.until_condition("Failed", "MaxRestartsExceeded")
    assert failed["message"].endswith(
        f"(1 round restarted by a worker, 0 pods failed); last: {words}"
    )
    assert digits.status["rendezvous"]["history"][-1]["cause"] == "stalled"
    assert digits.status["lastFailure"]["reason"] == "TrainingStalled"


def test_a_job_that_tells_of_no_step_is_left_alone_and_a_limit_may_come_later(job, kubectl):
    digits = job(failurePolicy={"progressDeadlineSeconds": 5}).start()
    other = job("other").start()
    other.say("other-0-0", 1, 7)
    other.until(lambda: other.status.get("progress", {}).get("step") == 7, "step 7")
    assert other.settings().stalled_round == 0
    limit = {"spec": {"failurePolicy": {"progressDeadlineSeconds": 5}}}
    kubectl("patch", "elasticjob", "other", "--type=merge", f"--patch={json.dumps(limit)}")
    other.until(lambda: other.settings().stalled_round == 1, "the other round to be ended")
    assert digits.settings().stalled_round == 0
    assert "progress" not in digits.status
