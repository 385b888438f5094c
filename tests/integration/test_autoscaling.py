"""A real HorizontalPodAutoscaler between minReplicas and maxReplicas."""

import json

import pytest
from autoscaler import EXTERNAL, OF_PODS, autoscaler, backlog, by_backlog, measurement

pytestmark = pytest.mark.usefixtures("operator", "metrics")

PODS = [f"digits-{index}-0" for index in range(4)]


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


def measure(kubectl, found):
    kubectl("apply", "--server-side", "--filename=-", given=json.dumps(found))


def use_memory(kubectl, mebibytes, pods, labels):
    """Report for each of these pods that its training uses so much."""
    usage = {"name": "trainer", "usage": {"memory": f"{mebibytes}Mi"}}
    for pod in pods:
        used = {"window": "30s", "containers": [usage]}
        measure(kubectl, measurement("PodMetrics", pod, labels, **used))


def about(kubectl, kind):
    """Return the autoscaler's condition of this kind: its status, reason and message."""
    status = kubectl.get("hpa", "digits").get("status", {})
    found = [c for c in status.get("conditions", []) if c["type"] == kind]
    return next(((c["status"], c["reason"], c["message"]) for c in found), None)


def test_a_metric_from_outside_scales_a_job_out_to_its_maximum_and_in_to_its_minimum(job, kubectl):
    digits = job(minReplicas=2, maxReplicas=4).start()
    measure(kubectl, backlog(1000))
    kubectl.create(by_backlog(2, 4, each=10))
    digits.until_pods(*PODS)
    assert about(kubectl, "AbleToScale")[0] == "True"
    assert about(kubectl, "ScalingActive")[:2] == ("True", "ValidMetricFound")
    measure(kubectl, backlog(1))
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
    measure(kubectl, backlog(1000))
    kubectl.create(by_backlog(2, 9, each=10))
    refused = ("False", "FailedUpdateScale")
    digits.until(
        lambda: (about(kubectl, "AbleToScale") or ())[:2] == refused, "its attempt to be refused"
    )
    words = "must lie between minReplicas (2) and maxReplicas (4)"
    assert words in about(kubectl, "AbleToScale")[2]
    assert digits.pods() == PODS[:2]
