"""Nodes that are lost, on a real API server: the test plays the node and its controller."""

import json
import uuid

import pytest

pytestmark = pytest.mark.usefixtures("operator")


class Node:
    """A node without a kubelet."""

    def __init__(self, kubectl):
        self.kubectl, self.name = kubectl, f"node-{uuid.uuid4().hex[:8]}"
        kubectl.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name}})
        self.tell("True", "the kubelet is ready")

    def tell(self, status, message):
        """Set the condition Ready; it has been so for long."""
        since = {"lastTransitionTime": "2026-11-23T12:00:00Z", "reason": "Told"}
        ready = {"type": "Ready", "status": status, "message": message, **since}
        self.kubectl.patch_status("node", self.name, {"conditions": [ready]})

    def take(self, pod):
        """Have the pod run here."""
        target = {"apiVersion": "v1", "kind": "Node", "name": self.name}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/{self.kubectl.namespace}/pods/{pod}/binding"
        given = json.dumps({**binding, "target": target})
        self.kubectl("create", f"--raw={path}", "--filename=-", given=given)

    def remove(self):
        self.kubectl("delete", "node", self.name, "--ignore-not-found")


@pytest.fixture
def nodes(kubectl):
    made = [Node(kubectl), Node(kubectl)]
    yield made
    for node in made:
        node.remove()


@pytest.fixture
def digits(job, nodes):
    """A job with two workers in round 1, each on a node of its own."""
    digits = job()
    digits.until_pods("digits-0-0", "digits-1-0")
    for node, pod in zip(nodes, ("digits-0-0", "digits-1-0"), strict=True):
        node.take(pod)
    return digits.start()


def test_a_pod_on_a_node_that_is_silent_is_replaced_without_its_kubelet(digits, nodes, kubectl):
    digits.leave("digits-1-0", "signal")  # its lease ran out
    nodes[1].tell("Unknown", "the kubelet posts no status")
    digits.until_pods("digits-0-0", "digits-1-1")
    words = f"was lost with its node {nodes[1].name}, which is not ready (the kubelet posts no"
    digits.until(lambda: [g for g in digits.gone() if words in g.reason], "it to be told gone")
    assert kubectl.get("pod", "digits-1-0"), "whether it still runs is not certain"
    assert digits.status["restarts"]["infrastructure"] == 1
    assert digits.status["restarts"]["counted"] == 0


def test_a_member_that_is_heard_trains_on_though_its_kubelet_is_silent(digits, nodes, kubectl):
    nodes[1].tell("Unknown", "the kubelet posts no status")
    kubectl("scale", "ej/digits", "--replicas=3")
    digits.until_pods("digits-0-0", "digits-1-0", "digits-2-0")
    assert digits.gone() == []


def test_the_pods_of_a_node_that_is_gone_are_removed_at_once(digits, nodes, kubectl):
    nodes[1].remove()
    digits.until_pods("digits-0-0", "digits-1-1")
    digits.until(lambda: digits.members() == ["digits-0-0"], "the member to be out")
    digits.until(lambda: kubectl.get("pod", "digits-1-0") is None, "the old pod to be gone")


def test_the_pods_of_a_node_out_of_service_are_removed_at_once(digits, nodes, kubectl):
    kubectl("taint", "node", nodes[1].name, "node.kubernetes.io/out-of-service=off:NoExecute")
    digits.until_pods("digits-0-0", "digits-1-1")
    digits.until(lambda: kubectl.get("pod", "digits-1-0") is None, "the old pod to be gone")
