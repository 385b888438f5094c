"""Jobs from Python, with the rights of somebody who may edit a namespace."""

import contextlib
import queue
import threading
from pathlib import Path

import pytest
from builders import manifest

from elasticjob_operator import conversion
from elasticjob_operator.api import ElasticJobSpec
from elasticjob_operator.sdk import ElasticJobs, JobOver, Refused, Unavailable
from elasticjob_operator.sdk import jobs as sdk_jobs

FOREIGN = sorted((Path(__file__).parent / "foreign_jobs").glob("*.yaml"))
SPEC = ElasticJobSpec(
    replicas=2, min_replicas=2, max_replicas=4, template=manifest()["spec"]["template"]
)


@pytest.fixture
def jobs_beyond(plane, kubectl, interference, tmp_path):
    """Jobs asked for through the proxy that stands before the API server, and the proxy."""
    path = plane.kubeconfig_for("admin", path=tmp_path / "beyond", groups=["system:masters"])
    path.write_text(path.read_text().replace(plane.url, interference.url))
    with ElasticJobs(kubectl.namespace, kubeconfig=str(path)) as jobs:
        yield jobs, interference


# --- making ------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("file", FOREIGN, ids=lambda file: file.stem)
def test_a_converted_job_is_taken(jobs, file):
    converted = [conversion.convert(found) for found in conversion.read(file.read_text())]
    assert converted
    for one in converted:
        del one.manifest["metadata"]["namespace"]
        assert jobs.create_manifest(one.manifest, dry_run=True).metadata.name == one.name


# --- waiting -----------------------------------------------------------------------------------


def test_a_watch_from_python_sees_changes(jobs):
    jobs.create("digits", SPEC)
    seen = jobs.watch("digits", timeout_s=60)
    assert next(seen).spec.replicas == 2
    scaling = threading.Thread(target=jobs.scale, args=("digits", 3))
    scaling.start()
    assert next(seen).spec.replicas == 3
    scaling.join()


@pytest.mark.usefixtures("operator")
def test_what_can_never_be_is_not_waited_for(jobs, job):
    job(maxRestarts=0).start().end("digits-0-0", 1)
    with pytest.raises(JobOver, match="digits is Failed: ") as over:
        jobs.wait("digits", timeout_s=60)
    assert over.value.job.status.last_failure.pod == "digits-0-0"


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
