"""The command `elasticjob` and its SDK, with the rights of somebody who may edit a namespace."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib
from builders import manifest

from elasticjob_operator.cli import main
from elasticjob_operator.sdk.connection import Connection
from localcluster import binaries

ROOT = Path(__file__).parents[2]
BOTH = ("digits-0-0", "digits-1-0")


# --- who asks ----------------------------------------------------------------------------------


@pytest.fixture
def run(kubeconfig, capsys, monkeypatch):
    """Run the command; return its exit status, what it printed, and what it complained about."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))

    def run(*words):
        status = main([*words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def watching(kubeconfig):
    """Start `elasticjob watch digits`; it prints as it goes."""
    watches = []

    def start(*words):
        command = [sys.executable, "-m", "elasticjob_operator.cli", "watch", "digits", *words]
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        watches.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
        return watches[-1]

    yield start
    for watch in watches:
        watch.kill()
        watch.communicate()


def until_printed(watch, words):
    """Read what the command prints until it has these words."""
    for line in watch.stdout:
        if words in line:
            return
    raise AssertionError(f"it ended before it said: {words}")


# --- looking -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("operator")
def test_a_job_is_listed_and_shown_with_its_rounds_and_its_last_failure(job, run):
    digits = job(nprocPerNode=2).start()
    digits.end("digits-1-0", 1, message="ValueError: no such data set")
    digits.until(lambda: digits.status.get("lastFailure"), "the failure to be told")
    status, printed, _ = run("list")
    header, row = printed.splitlines()
    assert (status, header.split()[:5]) == (0, ["NAME", "PHASE", "ROUND", "WORLD", "READY"])
    assert row.split()[0] == "digits"
    status, printed, _ = run("status", "digits")
    assert status == 0
    assert "1     digits-1-0" in printed
    assert "last failure: digits-1-0 (rank 1), exit code 1, Error, " in printed
    assert "ValueError: no such data set" in printed
    status, printed, _ = run("rounds", "digits")
    assert status == 0
    header, row, reason, *picture = printed.splitlines()
    assert row.split() == [
        "1",
        "0.0",
        "s",
        "0.2",
        "s",
        "start",
        *["2:", "0", "digits-0-0", "1"],
        BOTH[1],
    ]
    assert reason.strip() == "all joined"
    assert [line.split()[0] for line in picture[1:]] == ["round", "seconds", *BOTH]


def test_what_is_not_there_is_said_in_one_sentence(run, kubectl):
    assert run("list") == (0, "", f"elasticjob: namespace {kubectl.namespace} has no ElasticJob\n")
    for verb in ("status", "rounds", "watch", "logs", "suspend", "delete"):
        said = 'elasticjob: the API server refuses: elasticjobs.rdzv.dev "none" not found\n'
        assert run(verb, "none") == (3, "", said)


def test_what_one_may_not_do_is_said_in_the_servers_words(run):
    status, _, said = run("list", "--all-namespaces")
    assert status == 3
    words = 'elasticjobs.rdzv.dev is forbidden: User "editor" cannot list resource "elasticjobs"'
    assert said.startswith(f"elasticjob: the API server refuses: {words}")
    assert len(said.splitlines()) == 1


# --- following ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("operator")
def test_a_job_is_watched_to_its_success(job, watching):
    digits = job()
    digits.until_pods(*BOTH)
    watch = watching()
    until_printed(watch, "Pending: ")
    digits.run(*BOTH)
    digits.join(*BOTH)
    digits.form(1, *BOTH)
    until_printed(watch, "round 1: 2 workers, formed in 0.2 s; because all joined")
    until_printed(watch, "digits-0-0 is rank 0, digits-1-0 is rank 1")
    for pod in BOTH:
        digits.end(pod, 0)
    until_printed(watch, "Complete: all 2 workers of round 1 ended with success")
    assert watch.wait(timeout=30) == 0


@pytest.mark.usefixtures("operator")
def test_a_job_is_watched_to_its_failure(job, watching):
    digits = job(maxRestarts=0).start()
    watch = watching()
    until_printed(watch, "round 1: ")
    digits.end("digits-1-0", 1)
    until_printed(watch, "Failed: ")
    assert watch.wait(timeout=30) == 1


def test_a_watch_ends_in_time(run, kubectl):
    kubectl.create(manifest())
    status, printed, said = run("watch", "digits", "--timeout=1")
    assert status == 4
    assert printed.endswith("Pending: no operator has looked at it yet\n")
    assert said == "elasticjob: digits was watched for 1 s, and is not over\n"


# --- steering ----------------------------------------------------------------------------------


def test_a_job_is_scaled_within_its_bounds(run, kubectl):
    kubectl.create(manifest())
    assert run("scale", "digits", "4") == (0, "digits is to have 4 workers\n", "")
    assert kubectl.get("ej", "digits")["spec"]["replicas"] == 4
    status, _, said = run("scale", "digits", "5")
    assert status == 3
    assert "spec.replicas: Invalid value: replicas (5) must lie between minReplicas (2)" in said


@pytest.mark.usefixtures("operator")
def test_a_job_stands_still_and_goes_on(run, jobs, job):
    digits = job().start()
    assert run("suspend", "digits") == (0, "digits is to stand still\n", "")
    assert jobs.wait("digits", "Suspended", timeout_s=30).status.phase == "Suspended"
    digits.until_pods()
    assert run("resume", "digits") == (0, "digits is to go on\n", "")
    digits.until_pods("digits-0-1", "digits-1-1")


# --- logs --------------------------------------------------------------------------------------


@pytest.fixture
def logs_asked_for(monkeypatch):
    """The pods whose logs the API server is asked for; no kubelet keeps any here."""
    asked, log = [], Connection.log

    def asking(self, pod, container, **how):
        asked.append((pod, container))
        return log(self, pod, container, **how)

    monkeypatch.setattr(Connection, "log", asking)
    return asked


@pytest.mark.usefixtures("operator")
def test_a_log_is_asked_for_by_rank(run, job, logs_asked_for):
    digits = job()
    assert run("logs", "digits")[2] == (
        "elasticjob: digits has formed no round yet, so nobody has rank 0\n"
    )
    digits.start()
    assert run("logs", "digits", "--rank=1", "--tail=3") == (0, "", "")
    said = "elasticjob: round 1 of digits has the ranks 0 to 1, and not 2\n"
    assert run("logs", "digits", "--rank=2") == (3, "", said)
    said = "elasticjob: no pod is kept that was there before digits-1-0\n"
    assert run("logs", "digits", "--rank=1", "--previous") == (3, "", said)
    digits.end("digits-1-0", 1)
    digits.until_pods("digits-0-0", "digits-1-0", "digits-1-1")
    digits.run("digits-1-1")
    digits.join("digits-1-1")
    digits.form(2, "digits-0-0", "digits-1-1")
    digits.until(lambda: digits.status["rendezvous"]["round"] == 2, "round 2")
    assert run("logs", "digits", "--rank=1", "--previous")[0] == 0
    assert logs_asked_for == [("digits-1-0", "trainer")] * 2


# --- making ------------------------------------------------------------------------------------


def test_a_job_from_flags_is_taken(run, jobs):
    words = ("submit", "digits", "--image=trainer:1", "--min=2", "--max=4", "--gpus=1")
    status, printed, _ = run(*words, "--", "torchrun", "train.py")
    assert (status, printed) == (0, f"digits is created in namespace {jobs.namespace}\n")
    assert [job.metadata.name for job in jobs.list()] == ["digits"]
    assert jobs.get("digits").spec.template["spec"]["containers"][0]["command"][0] == "torchrun"
    assert run("delete", "digits")[0] == 0
    assert jobs.list() == ()


def test_a_job_that_is_refused_is_refused_with_its_path(run):
    status, _, said = run("submit", "Digits", "--image=trainer:1", "train.py")
    assert status == 3
    assert "metadata.name: Invalid value" in said
    status, _, said = run("submit", "d" * 48, "--image=trainer:1", "train.py")
    assert "the name may have at most 47 characters" in said


# --- the plug-in -------------------------------------------------------------------------------


def test_kubectl_finds_it_as_a_plug_in(kubeconfig, kubectl, tmp_path):
    """By the script that an installation makes of the project's entry point."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["kubectl-elasticjob"].partition(":")
    (plugin := tmp_path / "kubectl-elasticjob").write_text(
        f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
    )
    plugin.chmod(0o755)
    kubectl.create(manifest())
    folders = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [binaries.ensure(["kubectl"])["kubectl"], "elasticjob", "list"],
        env={**os.environ, "PATH": folders, "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[0] == "digits"
    assert shutil.which("kubectl-elasticjob", path=folders)
