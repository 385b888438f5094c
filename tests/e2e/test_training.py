"""Training on a real cluster: it starts, grows, loses workers, and completes."""

import os
import random
import time
from base64 import b64decode
from pathlib import Path

import pytest
import yaml

from elasticjob_operator.sdk import ElasticJobs
from examples.demo import story, training
from examples.demo.training import Begun, Epoch, Finished

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
TRAINING_LIMIT_S = 300
KILLS = int(os.environ.get("ELASTICJOB_E2E_KILLS", "1"))


def begun_from_a_checkpoint(known):
    return [step for step in known.steps if isinstance(step, Begun) and step.epoch > 0]


def epochs_done(known):
    return max((step.epoch for step in known.steps if isinstance(step, Epoch)), default=0)


def accuracy_percent(job):
    """Return what rank 0 printed in the end, as its log is read by rank."""
    with ElasticJobs(kubeconfig=str(job.tools.kubeconfig)) as jobs:
        steps = map(training.read_line, jobs.logs(job.name, rank=0))
        return next(step.accuracy_percent for step in steps if isinstance(step, Finished))


def assert_no_secret_is_told(job):
    """The workers' key is in no log, no status and no event."""
    selector = f"--selector=rdzv.dev/job={job.name}"
    secrets = yaml.safe_load(job.tools.ask("kubectl", "get", "secrets", selector, "--output=yaml"))
    keys = [b64decode(secret["data"]["tls.key"]).decode() for secret in secrets["items"]]
    assert len(keys) == 2
    told = [job.tools.ask("kubectl", "logs", pod) for pod in job.pods()]
    told += [job.tools.ask("kubectl", "get", "elasticjobs,events", "--output=yaml")]
    for line in (line for key in keys for line in key.splitlines()):
        assert not any(line in text for text in told)


def test_a_job_grows_survives_a_kill_and_completes(run, manifest):
    job = run(manifest(epochs=45, width=64))
    known = job.wait("round 1", lambda known: bool(known.rounds))
    assert len(known.rounds[0].members) == 2
    job.wait("two epochs of two workers", lambda known: story.count_epochs(known, 2) >= 2)

    job.scale(3)
    job.wait("a round of three", lambda known: story.is_round_of(known, 3))
    known = job.wait("an epoch of three workers", lambda known: story.count_epochs(known, 3) >= 1)
    assert begun_from_a_checkpoint(known), "training began again from nothing"

    before = known.rounds[-1]
    victim = before.members[0]
    job.kill(victim)
    known = job.wait(
        "a round without the killed worker", lambda known: victim not in known.rounds[-1].members
    )
    after = next(one for one in known.rounds if one.round > before.round)
    assert set(before.members) - {victim} <= set(after.members)
    job.wait("three workers again", lambda known: story.is_round_of(known, 3))

    known = job.wait("Complete", lambda known: known.holds("Complete"), TRAINING_LIMIT_S)
    numbers = [one.round for one in known.rounds]
    assert numbers == sorted(set(numbers)), "round numbers go up"
    assert known.job["status"]["phase"] == "Complete"
    assert known.job["status"]["rendezvous"]["endpoint"].startswith("etcds://")
    progress = known.job["status"]["progress"]
    assert progress["step"] >= 40
    assert sorted(progress["metrics"]) == ["accuracy", "loss"]
    assert_no_secret_is_told(job)
    assert accuracy_percent(job) >= 97

    job.delete()
    job.wait_until_nothing_remains()


@pytest.mark.timeout(180 + 45 * KILLS, func_only=True)
def test_workers_killed_at_random_moments_do_not_keep_a_job_from_completing(run, manifest):
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    job = run(manifest(epochs=25 + 12 * KILLS, width=32, replicas=3))
    job.tools.narrator.live("chance", f"{KILLS} kills, seed {seed}")
    job.wait("training", lambda known: epochs_done(known) >= 1)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0, 12))  # the moment is to have nothing to do with the job's
        job.kill(chance.choice(job.pods()).removeprefix("pod/"))
    known = job.wait("Complete", lambda known: known.holds("Complete"), 120 + 40 * KILLS)
    assert known.job["status"]["restarts"]["infrastructure"] >= KILLS
    told = f"Complete after {KILLS} kills and {known.rounds[-1].round} rounds, seed {seed}"
    job.tools.narrator.live("measured", f"{told}; test accuracy {accuracy_percent(job):g} %")


def test_training_and_deletion_need_no_operator(run, manifest, operator):
    doomed = run(manifest("doomed", ticking=True))
    doomed.wait("a round", lambda known: bool(known.rounds))
    job = run(manifest(epochs=2000, replicas=3))
    job.wait("an epoch of three workers", lambda known: story.count_epochs(known, 3) >= 1)
    with operator.away():
        doomed.delete()
        doomed.wait_until_nothing_remains()
        before = epochs_done(job.known)
        job.wait("further epochs", lambda known: epochs_done(known) >= before + 3)
        victim = job.known.rounds[-1].members[1]
        job.kill(victim)
        job.wait("an epoch of the two survivors", lambda known: story.count_epochs(known, 2) >= 1)
        assert begun_from_a_checkpoint(job.known)
    job.wait(
        "a replacement in the round",
        lambda known: story.is_round_of(known, 3) and victim not in known.rounds[-1].members,
    )
    job.delete()


def test_what_runs_beside_the_training_does_not_outlive_the_job(run, manifest, tools):
    described = manifest(epochs=1, width=8)
    pod = described["spec"]["template"]["spec"]
    sidecar = {name: pod["containers"][0][name] for name in ("image", "securityContext")}
    pod["containers"].append({"name": "sidecar", "command": ["sleep", "infinity"], **sidecar})
    job = run(described)
    job.wait("Complete", lambda known: known.holds("Complete"))
    tools.show(
        *("kubectl", "wait", "--for=delete", "pods", "--selector=rdzv.dev/role=worker"),
        *("--timeout=90s",),
        timeout_s=100,
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_trains_as_it_stands(run, path):
    job = run(yaml.safe_load(path.read_text()))
    job.wait("an epoch", lambda known: epochs_done(known) >= 1)
    job.delete()
    job.wait_until_nothing_remains()
