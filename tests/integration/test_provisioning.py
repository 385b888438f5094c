"""What the operator makes is valid, also under the strictest pod security."""

import json

import builders
import pytest

from elasticjob_operator import pods, provisioning
from elasticjob_operator.settings import Settings

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


def test_account_service_and_store_are_taken(strict):
    for manifest in provisioning.manifests(builders.a_job(), Settings()):
        checked(strict, manifest)


def test_the_stores_pod_is_taken(strict):
    made = {m["kind"]: m for m in provisioning.manifests(builders.a_job(), Settings())}
    template = made["StatefulSet"]["spec"]["template"]
    template["metadata"]["name"] = "digits-rdzv-0"
    template["spec"].pop("serviceAccountName")
    checked(strict, {"apiVersion": "v1", "kind": "Pod", **template})


def test_a_worker_from_a_template_without_privileges_is_taken(strict):
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    trainer = {"name": "trainer", "image": "trainer:1", "securityContext": context}
    spec = {
        "containers": [trainer],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    pod = pods.worker(builders.a_job(template={"spec": spec}), 0, 0, Settings())
    pod["spec"].pop("serviceAccountName")
    checked(strict, pod)
