"""The command `elasticjob` and its SDK, with the rights of somebody who may edit a namespace."""

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import tomllib
import yaml
from builders import manifest
from kubectl import Kubectl, until

from elasticjob_operator import conversion
from elasticjob_operator.api import ElasticJobSpec
from elasticjob_operator.cli import main
from elasticjob_operator.sdk import ElasticJobs, JobOver, NoSuchPod, Refused, Unavailable
from elasticjob_operator.sdk import jobs as sdk_jobs
from localcluster import binaries

ROOT = Path(__file__).parents[2]
BOTH = ("digits-0-0", "digits-1-0")
SPEC = ElasticJobSpec(
    replicas=2, min_replicas=2, max_replicas=4, template=manifest()["spec"]["template"]
)
FOREIGN = sorted((Path(__file__).parent / "foreign_jobs").glob("*.yaml"))


# --- who asks ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def roles(plane):
    """What the chart gives to those who may edit or view a namespace."""
    helm = binaries.ensure(["helm"])["helm"]
    rendered = subprocess.run(
        [helm, "template", "e", ROOT / "charts/elasticjob", "--show-only=templates/rbac.yaml"],
        check=True,
        capture_output=True,
        text=True,
    )
    roles = [
        role
        for role in yaml.safe_load_all(rendered.stdout)
        if any("aggregate-to" in label for label in role["metadata"]["labels"])
    ]
    admin = Kubectl(plane.kubeconfig)
    for role in roles:
        admin("apply", "--filename=-", given=json.dumps(role))
    yield
    for role in roles:
        admin("delete", "clusterrole", role["metadata"]["name"])


@pytest.fixture
def kubeconfig(plane, kubectl, roles, tmp_path):
    """That of a user who may edit the test's namespace, which is its context's, and no other."""
    path = plane.kubeconfig_for("editor", path=tmp_path / "editor.kubeconfig")
    document = yaml.safe_load(path.read_text())
    document["contexts"][0]["context"]["namespace"] = kubectl.namespace
    path.write_text(yaml.safe_dump(document))
    kubectl("create", "rolebinding", "editor", "--clusterrole=edit", "--user=editor")
    user = Kubectl(path, kubectl.namespace)
    may = ("auth", "can-i", "patch", "elasticjobs.rdzv.dev", "--subresource=scale")
    until(lambda: user.tried(*may).returncode == 0, "the rights of an editor")
    return path


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
def jobs(kubeconfig):
    with ElasticJobs(kubeconfig=str(kubeconfig)) as jobs:
        yield jobs


@pytest.fixture
def jobs_beyond(plane, kubectl, interference, tmp_path):
    """Jobs asked for through the proxy that stands before the API server, and the proxy."""
    path = plane.kubeconfig_for("admin", path=tmp_path / "beyond", groups=["system:masters"])
    path.write_text(path.read_text().replace(plane.url, interference.url))
    with ElasticJobs(kubectl.namespace, kubeconfig=str(path)) as jobs:
        yield jobs, interference


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
    assert run("list") == (0, "", f"namespace {kubectl.namespace} has no ElasticJob\n")
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


def test_a_job_that_is_deleted_is_watched_no_longer(jobs, kubectl):
    kubectl.create(manifest())
    watch = jobs.watch("digits", timeout_s=60)
    assert next(watch).metadata.name == "digits"
    jobs.delete("digits")
    with pytest.raises(Refused, match="the job digits was deleted"):
        list(watch)


def test_a_watch_outlives_its_connection(kubectl, jobs_beyond):
    jobs, interference = jobs_beyond
    kubectl.create(manifest())
    seen = queue.SimpleQueue()

    def follow():
        with contextlib.suppress(Refused):  # it is deleted in the end
            for job in jobs.watch("digits", timeout_s=120):
                seen.put(job.spec.replicas)

    (following := threading.Thread(target=follow)).start()
    assert seen.get(timeout=30) == 2
    kubectl("scale", "ej/digits", "--replicas=3")
    assert seen.get(timeout=30) == 3
    with interference.away():
        kubectl("scale", "ej/digits", "--replicas=4")
    assert seen.get(timeout=30) == 4
    kubectl("delete", "ej/digits")
    following.join(timeout=30)
    assert not following.is_alive()


def test_a_watch_does_not_wait_for_ever_for_a_server(kubectl, jobs_beyond, monkeypatch):
    jobs, interference = jobs_beyond
    monkeypatch.setattr(sdk_jobs, "PATIENCE_S", 0)
    kubectl.create(manifest())
    watch = jobs.watch("digits", timeout_s=120)
    next(watch)
    with interference.away(), pytest.raises(Unavailable, match="the API server does not answer"):
        next(watch)


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


@pytest.mark.usefixtures("operator")
def test_what_can_never_be_is_not_waited_for(jobs, job):
    job(maxRestarts=0).start().end("digits-0-0", 1)
    with pytest.raises(JobOver, match="digits is Failed: ") as over:
        jobs.wait("digits", timeout_s=60)
    assert over.value.job.status.last_failure.pod == "digits-0-0"


# --- logs --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("operator")
def test_a_log_is_asked_for_by_rank(run, jobs, job):
    """No kubelet keeps any here; the API server says of which pod it was asked."""
    digits = job()
    with pytest.raises(NoSuchPod, match="digits has formed no round yet"):
        list(jobs.logs("digits"))
    digits.until_pods(*BOTH)
    digits.start()
    said = run("logs", "digits", "--rank=1")[2]
    assert (
        said == "elasticjob: the API server refuses: pod digits-1-0 does not have a host assigned\n"
    )
    said = run("logs", "digits", "--rank=2")[2]
    assert said == "elasticjob: round 1 of digits has the ranks 0 to 1, and not 2\n"
    said = run("logs", "digits", "--rank=1", "--previous")[2]
    assert said == "elasticjob: no pod is kept that was there before digits-1-0\n"
    digits.end("digits-1-0", 1)
    digits.until_pods("digits-0-0", "digits-1-0", "digits-1-1")
    digits.run("digits-1-1")
    digits.join("digits-1-1")
    digits.form(2, "digits-0-0", "digits-1-1")
    digits.until(lambda: digits.status["rendezvous"]["round"] == 2, "round 2")
    said = run("logs", "digits", "--rank=1", "--previous")[2]
    assert "pod digits-1-0 does not have a host assigned" in said


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


def test_a_job_from_python(jobs):
    assert jobs.create("digits", SPEC, labels={"team": "a"}, dry_run=True).spec == SPEC
    assert jobs.list() == ()
    made = jobs.create("digits", SPEC)
    assert (made.spec.replicas, made.metadata.namespace) == (2, jobs.namespace)
    with pytest.raises(Refused) as refused:
        jobs.create("digits", SPEC)
    assert (refused.value.status, refused.value.reason) == (409, "AlreadyExists")
    with pytest.raises(Refused, match=r'unknown field "spec\.maxReplica"'):
        jobs.create_manifest(manifest("other", maxReplica=3))


def test_a_watch_from_python_sees_changes(jobs):
    jobs.create("digits", SPEC)
    seen = jobs.watch("digits", timeout_s=60)
    assert next(seen).spec.replicas == 2
    scaling = threading.Thread(target=jobs.scale, args=("digits", 3))
    scaling.start()
    assert next(seen).spec.replicas == 3
    scaling.join()


@pytest.mark.parametrize("file", FOREIGN, ids=lambda file: file.stem)
def test_a_converted_job_is_taken(jobs, file):
    converted = [conversion.convert(found) for found in conversion.read(file.read_text())]
    assert converted
    for one in converted:
        del one.manifest["metadata"]["namespace"]
        assert jobs.create_manifest(one.manifest, dry_run=True).metadata.name == one.name


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
