"""What the operator makes for a job, as it stands in the cluster."""

import pytest

pytestmark = pytest.mark.usefixtures("operator")

TRAINER = {"name": "trainer", "image": "trainer:1"}
SIDECAR = {"name": "sidecar", "image": "sidecar:1", "env": [{"name": "OWN", "value": "1"}]}


def owners(found):
    return [(o["kind"], o["name"], o["controller"]) for o in found["metadata"]["ownerReferences"]]


def test_only_the_training_container_is_told_of_the_rendezvous(job, kubectl):
    both = {"spec": {"containers": [SIDECAR, TRAINER]}}
    digits = job(trainingContainer="trainer", template=both)
    digits.until_pods("digits-0-0", "digits-1-0")
    pod = kubectl.get("pod", "digits-0-0")
    names = {c["name"]: {e["name"] for e in c.get("env", [])} for c in pod["spec"]["containers"]}
    assert names["sidecar"] == {"OWN"}
    assert {"PET_RDZV_BACKEND", "PET_RDZV_ENDPOINT", "PET_RDZV_ID", "PET_NNODES"} <= names[
        "trainer"
    ]
    assert not any(container.get("env") for container in pod["spec"]["initContainers"])
    assert owners(pod) == [("ElasticJob", "digits", True)]


def test_a_job_without_endpoints_gets_a_store_that_it_owns_and_no_pod_before_it_answers(
    job, kubectl
):
    digits = job(rendezvous={})
    digits.until_condition("RendezvousReady", "StoreUnreachable", "False")
    for kind in ("service", "statefulset"):
        assert owners(kubectl.get(kind, "digits-rdzv")) == [("ElasticJob", "digits", True)]
    assert not any(name.startswith("digits-0-") for name in kubectl.names("pods"))


def test_a_job_of_another_controller_is_left_alone(job, kubectl):
    theirs = job("theirs", managedBy="kueue.x-k8s.io/multikueue")
    ours = job("ours", managedBy="rdzv.dev/elasticjob-operator")
    ours.until_pods("ours-0-0", "ours-1-0")
    kubectl("scale", "ej/theirs", "--replicas=3")
    kubectl.patch_status("ej", "theirs", {"phase": "Running"})
    ours.start()
    assert theirs.status == {"phase": "Running"}
    assert theirs.pods() == theirs.events() == []
    assert not theirs.settings()


def test_the_columns_of_a_listing_are_named(job, kubectl):
    job().until_pods("digits-0-0", "digits-1-0")
    assert kubectl("get", "ej").splitlines()[0].split() == [
        *("NAME", "PHASE", "ROUND", "WORLD", "READY", "AGE"),
    ]
