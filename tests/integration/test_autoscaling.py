"""A real HorizontalPodAutoscaler between minReplicas and maxReplicas.

The metrics APIs that it reads are resources of the API server itself here: the objects are the
measurements.
"""

import json
from datetime import UTC, datetime

import pytest

pytestmark = pytest.mark.usefixtures("operator", "metrics")

PODS = [f"digits-{index}-0" for index in range(4)]
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def resource(group, plural, kind):
    """Return the definition of a resource that looks like a metrics API's."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural},
            "versions": [
                {
                    "name": "v1beta1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": ANYTHING},
                }
            ],
        },
    }


EXTERNAL = resource("external.metrics.k8s.io", "backlog", "ExternalMetricValue")
OF_PODS = resource("metrics.k8s.io", "pods", "PodMetrics")


@pytest.fixture
def metrics(kubectl):
    """Serve the metrics APIs."""
    for definition in (EXTERNAL, OF_PODS):
        kubectl.create(definition)
        name = definition["metadata"]["name"]
        kubectl("wait", "--for=condition=Established", f"crd/{name}")
    yield
    for definition in (EXTERNAL, OF_PODS):
        kubectl("delete", "crd", definition["metadata"]["name"])


def autoscaler(least, most, **metric):
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "digits"},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "rdzv.dev/v1alpha1",
                "kind": "ElasticJob",
                "name": "digits",
            },
            "minReplicas": least,
            "maxReplicas": most,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            "metrics": [metric],
        },
    }


def measure(kubectl, kind, name, labels, **fields):
    api = f"{'external.' if kind == 'ExternalMetricValue' else ''}metrics.k8s.io/v1beta1"
    metadata = {"name": name, "labels": labels}
    found = {"apiVersion": api, "kind": kind, "metadata": metadata, "timestamp": now(), **fields}
    kubectl("apply", "--server-side", "--filename=-", given=json.dumps(found))


def now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def use_memory(kubectl, mebibytes, pods, labels):
    """Report for each of these pods that its training uses so much."""
    usage = {"name": "trainer", "usage": {"memory": f"{mebibytes}Mi"}}
    for pod in pods:
        measure(kubectl, "PodMetrics", pod, labels, window="30s", containers=[usage])


def about(kubectl, kind):
    """Return the autoscaler's condition of this kind: its status, reason and message."""
    status = kubectl.get("hpa", "digits").get("status", {})
    found = [c for c in status.get("conditions", []) if c["type"] == kind]
    return next(((c["status"], c["reason"], c["message"]) for c in found), None)


def test_a_metric_from_outside_scales_a_job_out_to_its_maximum_and_in_to_its_minimum(job, kubectl):
    digits = job(minReplicas=2, maxReplicas=4).start()
    measure(kubectl, "ExternalMetricValue", "queue", {}, metricName="backlog", value="1000")
    target = {"type": "AverageValue", "averageValue": "10"}
    external = {"metric": {"name": "backlog"}, "target": target}
    kubectl.create(autoscaler(2, 4, type="External", external=external))
    digits.until_pods(*PODS)
    assert about(kubectl, "AbleToScale")[0] == "True"
    assert about(kubectl, "ScalingActive")[:2] == ("True", "ValidMetricFound")
    measure(kubectl, "ExternalMetricValue", "queue", {}, metricName="backlog", value="1")
    digits.until(lambda: digits.pods() == PODS[:2], "the two who are in the round to be left")
    assert digits.drained() == {}, "who has not joined need not be asked"


def test_the_use_of_memory_scales_a_job_by_its_own_pods_alone(job, kubectl):
    one = {"requests": {"memory": "100Mi"}}
    trainer = {"name": "trainer", "image": "trainer:1", "resources": one}
    template = {"spec": {"containers": [trainer]}}
    digits = job(minReplicas=2, maxReplicas=4, clientInjection="None", template=template).start()
    labels = dict(pair.split("=") for pair in digits.status["selector"].split(","))
    stranger = {"containers": [{**trainer, "name": "stranger"}]}
    meta = {"name": "stranger", "labels": {"run": "stranger"}}
    kubectl.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": stranger})
    use_memory(kubectl, 900, ["stranger"], {"run": "stranger"})
    use_memory(kubectl, 150, PODS[:2], labels)
    target = {"type": "Utilization", "averageUtilization": 100}
    memory = {"name": "memory", "target": target}
    kubectl.create(autoscaler(2, 4, type="Resource", resource=memory))
    digits.until_pods(*PODS[:3])
    assert about(kubectl, "ScalingActive")[:2] == ("True", "ValidMetricFound")
    scaler = kubectl.get("hpa", "digits")["status"]
    assert scaler["currentReplicas"] == 2


def test_an_autoscaler_that_wants_more_than_the_maximum_is_told_why_it_may_not(job, kubectl):
    digits = job(minReplicas=2, maxReplicas=4).start()
    measure(kubectl, "ExternalMetricValue", "queue", {}, metricName="backlog", value="1000")
    target = {"type": "AverageValue", "averageValue": "10"}
    external = {"metric": {"name": "backlog"}, "target": target}
    kubectl.create(autoscaler(2, 9, type="External", external=external))
    refused = ("False", "FailedUpdateScale")
    digits.until(
        lambda: (about(kubectl, "AbleToScale") or ())[:2] == refused, "its attempt to be refused"
    )
    words = "must lie between minReplicas (2) and maxReplicas (4)"
    assert words in about(kubectl, "AbleToScale")[2]
    assert digits.pods() == PODS[:2]
