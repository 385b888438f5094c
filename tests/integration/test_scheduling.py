"""Jobs before a real scheduler: nodes that are full, that come, and pods that are preempted."""

import json
from datetime import UTC, datetime

import pytest
from paper_nodes import SLOT, template

from elasticjob_operator.timestamps import stamp

pytestmark = pytest.mark.usefixtures("operator")

PODS = ["digits-0-0", "digits-1-0", "digits-2-0"]


@pytest.fixture(scope="module")
def plane(scheduling_plane):
    return scheduling_plane


def placed(kubectl):
    """Return the node of each pod that has one."""
    pods = {pod["metadata"]["name"]: pod["spec"].get("nodeName") for pod in kubectl.get("pods")}
    return {name: node for name, node in pods.items() if node}


def test_a_job_runs_with_the_pods_that_find_a_node_and_the_others_join_when_there_is_room(
    job, kubectl, nodes
):
    nodes.add(slots=2)
    digits = job(replicas=3, template=template())
    digits.until_pods(*PODS)
    told = digits.until_condition("Progressing", "Unschedulable")
    words = f"0/1 nodes are available: 1 Insufficient {SLOT}"
    assert told["message"].startswith(f"1 of 3 pods find no node, at least 2 must run: {words}")
    digits.until(lambda: digits.settings().expected_nodes == 2, "two to be expected")
    assert digits.settings().scheduling, "nobody gives up while a pod waits for a node"
    first = sorted(placed(kubectl))
    digits.run(*first)
    digits.join(*first)
    digits.form(1, *first)
    told = digits.until_condition("Ready", "RoundFormed")
    progressing = digits.condition("Progressing")
    assert (progressing["reason"], progressing["status"]) == ("Unschedulable", "True")
    assert (
        f"round 1 stands with 2 workers; 1 of 3 pods find no node: {words}"
        in (progressing["message"])
    )
    nodes.add(slots=1)
    digits.until(lambda: len(placed(kubectl)) == 3, "the third pod to find a node")
    digits.until(lambda: digits.settings().expected_nodes == 3, "three to be expected")
    digits.until(lambda: not digits.settings().scheduling, "nobody to wait for a node")
    assert digits.pods() == PODS


def test_a_preempted_worker_is_replaced_on_the_infrastructures_account(job, kubectl, nodes):
    nodes.add(slots=2)
    digits = job(minReplicas=1, template=template())
    digits.until(lambda: len(placed(kubectl)) == 2, "both to find a node")
    digits.run(*PODS[:2])
    digits.join(*PODS[:2])
    digits.form(1, *PODS[:2])
    digits.until_condition("Ready", "RoundFormed")
    urgent = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000}
    kubectl.create({**urgent, "metadata": {"name": kubectl.namespace}})
    pod = template(priorityClassName=kubectl.namespace, restartPolicy="Never")
    pod |= {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "urgent"}}
    kubectl.create(pod)
    digits.until(lambda: "urgent" in placed(kubectl), "the urgent pod to take a worker's place")
    told = digits.until_condition("Progressing", "Unschedulable")
    assert "1 of 2 pods find no node" in told["message"]
    restarts = digits.status["restarts"]
    assert (restarts["infrastructure"], restarts["counted"]) == (1, 0)
    (lost,) = [words for reason, words in digits.events() if reason == "WorkerLost"]
    assert "preempt" in lost.lower()
    kubectl("delete", "pod", "urgent", "--force", "--grace-period=0")
    digits.until(lambda: len(placed(kubectl)) == 2, "the replacement to find a node")
    kubectl("delete", "priorityclass", kubectl.namespace)


def test_pods_that_a_gate_holds_back_are_waited_for_and_run_when_it_opens(job, kubectl, nodes):
    """So queues such as Kueue admit pods one by one."""
    nodes.add(slots=2)
    gates = [{"name": "kueue.x-k8s.io/admission"}]
    digits = job(minReplicas=1, template=template(schedulingGates=gates))
    told = digits.until_condition("Progressing", "Unschedulable", "False")
    assert "2 of 2 pods find no node, at least 1 must run: Scheduling is blocked" in told["message"]
    patch = json.dumps([{"op": "remove", "path": "/spec/schedulingGates"}])
    kubectl("patch", "pod", "digits-0-0", "--type=json", f"--patch={patch}")
    digits.until(lambda: list(placed(kubectl)) == ["digits-0-0"], "the admitted pod to be placed")
    digits.until(lambda: digits.settings().expected_nodes == 1, "one to be expected")


def test_new_pods_are_kept_off_a_node_where_they_failed(job, kubectl, nodes):
    bad = nodes.add(slots=2)
    avoid = {"failures": 1, "mode": "Required"}
    digits = job(minReplicas=1, template=template(), failurePolicy={"avoidNodes": avoid})
    digits.until(lambda: placed(kubectl) == dict.fromkeys(PODS[:2], bad), "both to be placed")
    digits.start()
    digits.end(PODS[1], 1, finishedAt=stamp(datetime.now(UTC)))
    words = f"new pods are kept off {bad}: pods failed there once within 3600 s"
    digits.until_event("NodeAvoided", words)
    told = digits.until_condition("Progressing", "Unschedulable")
    assert told["message"].endswith(words)
    good = nodes.add(slots=1)
    digits.until(lambda: placed(kubectl).get("digits-1-1") == good, "it to be placed elsewhere")
    patch = json.dumps({"spec": {"failurePolicy": {"avoidNodes": {"mode": "Preferred"}}}})
    kubectl("patch", "ej", "digits", "--type=merge", f"--patch={patch}")
    digits.end(PODS[0], 1, finishedAt=stamp(datetime.now(UTC)))
    digits.until(lambda: placed(kubectl).get("digits-0-1") == bad, "the only room to be taken")


RACK = "example.com/rack"


def test_workers_are_told_of_their_nodes_label(job, kubectl, nodes):
    node, other = nodes.add(slots=1, **{RACK: "r1"}), nodes.add(slots=1)
    digits = job(template=template(), topologyKey=RACK)
    told = {node: "r1", other: ""}
    digits.until(lambda: digits.sites() == told, "where the nodes of the workers stand to be told")
    assert digits.settings().sites, "the first round waits for it"
    digits.run(*PODS[:2])
    digits.join(*PODS[:2])
    digits.form(1, *PODS[:2])
    words = f"the ranks of 1 of 2 workers are not grouped: they run on {other} without the label"
    digits.until(lambda: words in digits.condition("Progressing")["message"], "that to be said")
    kubectl("label", "node", other, f"{RACK}=r2")
    digits.until(lambda: digits.sites() == {**told, other: "r2"}, "the label that came late")
    digits.until(lambda: words not in digits.condition("Progressing")["message"], "all is known")
    digits.empty_store()
    digits.until(lambda: digits.sites() == {**told, other: "r2"}, "an emptied store to be told")


def test_kubernetes_itself_tells_of_the_zone_when_it_places_a_pod(job, kubectl, nodes):
    zone = "topology.kubernetes.io/zone"
    node = nodes.add(slots=2, **{zone: "z1"})
    job(template=template(), topologyKey=zone).until(
        lambda: placed(kubectl) == dict.fromkeys(PODS[:2], node), "both to be placed"
    )
    assert {pod["metadata"]["labels"].get(zone) for pod in kubectl.get("pods")} == {"z1"}
    (variable,) = (
        entry
        for entry in kubectl.get("pod", PODS[0])["spec"]["containers"][0]["env"]
        if entry["name"] == "RDZV_TOPOLOGY"
    )
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.labels['{zone}']"
