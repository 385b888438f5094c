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


(BACKLOG,) = by_backlog(2, 4, each=10)["spec"]["metrics"]


def scaler(kubectl):
    return kubectl.get("hpa", "digits")


def edit(kubectl, **spec):
    patch = json.dumps({"spec": spec})
    kubectl("patch", "ej", "digits", "--type=merge", f"--patch={patch}")


def test_the_operator_makes_the_autoscaler_and_takes_it_away(job, kubectl):
    measure(kubectl, backlog(1000))
    slow = {"scaleDown": {"selectPolicy": "Disabled"}}
    wanted = {"metrics": [BACKLOG], "behavior": slow}
    digits = job(minReplicas=2, maxReplicas=4, autoscaling=wanted)
    digits.until_pods(*PODS)
    made = scaler(kubectl)
    assert made["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Disabled"
    assert made["metadata"]["ownerReferences"][0]["kind"] == "ElasticJob"
    edit(kubectl, maxReplicas=5, autoscaling={"behavior": None})
    digits.until_pods(*PODS, "digits-4-0")
    digits.until(lambda: "behavior" not in scaler(kubectl)["spec"], "what is left out to go")
    edit(kubectl, runPolicy={"suspend": True})
    digits.until(lambda: scaler(kubectl) is None, "a suspended job to have none")
    edit(kubectl, runPolicy={"suspend": False})
    digits.until(lambda: scaler(kubectl), "a resumed one to have it again")
    edit(kubectl, autoscaling=None)
    digits.until(lambda: scaler(kubectl) is None, "it to go when it is not wanted")
    digits.until(lambda: "autoscaler" not in digits.status or not digits.status["autoscaler"], "it")


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ({"type": "Resource"}, "spec.metrics[0].resource: Required value"),
        ({**BACKLOG, "externl": {}}, ".spec.metrics[0].externl: field not declared in schema"),
    ],
)
def test_a_wrong_metric_is_told_with_its_path_and_training_goes_on(job, kubectl, metric, words):
    digits = job(minReplicas=2, maxReplicas=4, autoscaling={"metrics": [metric]}).start()
    told = digits.until_condition("Progressing", "ObjectRefused", "False")
    assert told["message"].startswith("the autoscaler of spec.autoscaling is refused: ")
    assert words in told["message"]
    edit(kubectl, autoscaling={"metrics": [BACKLOG]})
    digits.until_condition("Progressing", "Training")
    assert scaler(kubectl)["spec"]["minReplicas"] == 2


def test_an_autoscaler_of_somebody_else_is_neither_taken_over_nor_taken_away(job, kubectl):
    kubectl.create(by_backlog(2, 3, each=10))
    digits = job(minReplicas=2, maxReplicas=4, autoscaling={"metrics": [BACKLOG]}).start()
    told = digits.until_condition("Progressing", "ObjectRefused", "False")
    words = "the HorizontalPodAutoscaler digits is there already and is not this job's"
    assert words in told["message"]
    edit(kubectl, autoscaling=None)
    digits.until_condition("Progressing", "Training")
    assert scaler(kubectl)["spec"]["maxReplicas"] == 3
