"""What the operator makes is valid, also under the strictest pod security."""

import json

import builders
import pytest

from elasticjob_operator import pods, provisioning, rendezvous_spec
from elasticjob_operator.settings import Settings

EXTERNAL = {"endpoints": ["https://etcd:2379"], "secret_ref": {"name": "etcd-login"}}
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


@pytest.fixture
def strict(kubectl):
    """kubectl in a namespace that admits only pods without any privilege."""
    kubectl("label", "namespace", kubectl.namespace, RESTRICTED)
    return kubectl


def checked(kubectl, manifest):
    manifest["metadata"]["namespace"] = kubectl.namespace
    arguments = ("create", "--dry-run=server", "--validate=strict", "--filename=-")
    done = kubectl.tried(*arguments, given=json.dumps(manifest))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


ON_DISK = rendezvous_spec.Storage(size="1Gi", storage_class_name="fast")
STORES = {
    "one": {},
    "three": {"etcd": {"members": 3}},
    "one disk": {"etcd": {"storage": ON_DISK}},
    "three disks": {"etcd": {"members": 3, "storage": ON_DISK}},
    "c10d": {"backend": "c10d"},
}
stores = pytest.mark.parametrize("rendezvous", STORES.values(), ids=STORES)


def made_for(rendezvous):
    settings = Settings(operator_namespace="system")
    return provisioning.manifests(builders.a_job(rendezvous=rendezvous), settings)


@stores
def test_all_that_is_made_besides_the_workers_is_taken(strict, rendezvous):
    for manifest in made_for(rendezvous):
        checked(strict, manifest)


@stores
def test_the_stores_pod_is_taken(strict, rendezvous):
    made = {m["kind"]: m for m in made_for(rendezvous)}
    template = made["StatefulSet"]["spec"]["template"]
    template["metadata"]["name"] = "digits-rdzv-0"
    template["spec"].pop("serviceAccountName")
    if "storage" in rendezvous.get("etcd", {}):
        template["spec"]["volumes"].append({"name": "data", "emptyDir": {}})
    checked(strict, {"apiVersion": "v1", "kind": "Pod", **template})


@pytest.mark.parametrize("etcd", [{}, EXTERNAL], ids=["own store", "a store of the user's"])
def test_a_worker_from_a_template_without_privileges_is_taken(strict, etcd):
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    trainer = {"name": "trainer", "image": "trainer:1", "securityContext": context}
    spec = {
        "containers": [trainer],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    job = builders.a_job(template={"spec": spec}, rendezvous={"etcd": etcd})
    pod = pods.worker(job, 0, 0, Settings())
    pod["spec"].pop("serviceAccountName")
    checked(strict, pod)
