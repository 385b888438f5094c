"""A rendezvous store of three members that loses one, with its disk and then with its node."""

import json

import pytest

from examples.demo import story
from localcluster import cluster as local_cluster

ALL_ANSWER = "3 of 3 members of the rendezvous store answer"
STORE_LIMIT_S = 120
NODE_LIMIT_S = 240


def members(job):
    """Return the store's pods: name to UID and node."""
    selector = f"--selector=rdzv.dev/job={job.name},rdzv.dev/role=store"
    found = json.loads(job.tools.ask("kubectl", "get", "pods", selector, "--output=json"))
    return {
        pod["metadata"]["name"]: (pod["metadata"]["uid"], pod["spec"].get("nodeName", ""))
        for pod in found["items"]
    }


def on(node, pods):
    return sorted(name for name, (_, where) in pods.items() if where == node)


def all_answer(known):
    return known.condition("RendezvousReady").get("message") == ALL_ANSWER


def wait_for_all(job, lost, limit_s):
    """Wait until the loss was seen, and then all members answer again, in other pods than this."""
    job.wait(f"{lost} to be missed", lambda known: not all_answer(known), limit_s)
    known = job.wait("three members of the store", all_answer, limit_s)
    assert lost not in {uid for uid, _ in members(job).values()}
    return known


@pytest.fixture
def described(manifest, operator, node):
    """A job whose workers are not on the node that may be ended."""
    nodes = operator.tools.ask("kubectl", "get", "nodes", "--output=name").split()
    (left,) = (name.removeprefix("node/") for name in nodes if name != f"node/{node}")
    job = manifest(epochs=500, width=64, rendezvous={"etcd": {"members": 3}})
    job["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": left}
    return job


def test_no_round_is_lost_with_a_member_its_disk_or_its_node(
    run, described, node, machines, operator
):
    job = run(described)
    job.wait("an epoch of two workers", lambda known: story.count_epochs(known, 2) >= 1)
    job.wait("three members of the store", all_answer)
    before = members(job)
    assert 1 <= len(on(node, before)) <= 2, "the members are spread over the nodes"

    # One is to be left on the node that will be ended.
    there = on(node, before)
    victim = there[0] if len(there) == 2 else min(set(before) - set(there))
    operator.tools.show("kubectl", "cordon", node)
    try:
        job.kill(victim)
        wait_for_all(job, before[victim][0], STORE_LIMIT_S)
    finally:
        operator.tools.show("kubectl", "uncordon", node)

    before = members(job)
    (victim,) = on(node, before)
    local_cluster.stop_node(machines, node)
    known = wait_for_all(job, before[victim][0], NODE_LIMIT_S)
    assert on(node, members(job)) == []

    epochs = story.count_epochs(known, 2)
    known = job.wait("further epochs", lambda known: story.count_epochs(known, 2) >= epochs + 2)
    assert [one.number for one in known.rounds] == [1], "no round was lost"
    assert known.job["status"]["restarts"]["infrastructure"] == 0

    job.scale(3)
    job.wait("a round of three", lambda known: story.is_round_of(known, 3))
    job.delete()
    job.wait_until_nothing_remains()
