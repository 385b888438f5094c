"""A node that really dies: its machine ends at once, and nobody tells Kubernetes.

Three jobs feel it: one that had everything there, one that had a worker there, and one that had a
member of its store there, and before that lost another member with its disk.
"""

import json
from contextlib import contextmanager

import pytest

from examples.demo import story
from localcluster import cluster as local_cluster

NODE_LIMIT_S = 240
ALL_ANSWER = "3 of 3 members of the rendezvous store answer"


@pytest.fixture
def nodes(operator, node):
    """The name of the node that will die, and of the other, where the operator is that leads."""
    nodes = operator.tools.ask("kubectl", "get", "nodes", "--output=name").split()
    (left,) = {name.removeprefix("node/") for name in nodes} - {node}
    return node, left


@contextmanager
def closed(operator, node):
    """Within this the node takes no further pods."""
    operator.tools.show("kubectl", "cordon", node)
    try:
        yield
    finally:
        operator.tools.show("kubectl", "uncordon", node)


def members_on(known, node):
    members = known.job.get("status", {}).get("rendezvous", {}).get("members", [])
    return [member["pod"] for member in members if member["node"] == node]


def store_of(job):
    """The store's pods: name to UID and node."""
    selector = f"--selector=rdzv.dev/job={job.name},rdzv.dev/role=store"
    found = json.loads(job.tools.ask("kubectl", "get", "pods", selector, "--output=json"))
    return {
        pod["metadata"]["name"]: (pod["metadata"]["uid"], pod["spec"].get("nodeName", ""))
        for pod in found["items"]
    }


def on(node, store):
    return sorted(name for name, (_, where) in store.items() if where == node)


def all_answer(known):
    return known.condition("RendezvousReady").get("message") == ALL_ANSWER


def lose_a_member_with_its_disk(job, operator, node):
    """Such that one is left on the node, which takes no other."""
    before = store_of(job)
    there = on(node, before)
    assert 1 <= len(there) <= 2, "the members are spread over the nodes"
    victim = there[0] if len(there) == 2 else min(set(before) - set(there))
    with closed(operator, node):
        job.kill(victim)
        job.wait("a member of the store to be missed", lambda known: not all_answer(known))
        job.wait("three members of the store", all_answer)
    assert before[victim] not in store_of(job).values()


def assert_only_the_infrastructure_failed(known, times):
    restarts = known.job["status"]["restarts"]
    assert (restarts["infrastructure"], restarts["counted"]) == (times, 0)


def test_each_job_goes_on_without_what_it_had_on_a_node_that_died(
    run, manifest, operator, nodes, machines
):
    node, left = nodes
    with closed(operator, node):
        part = run(manifest("part", ticking=True, minReplicas=1, replicas=1, maxReplicas=2))
        part.wait("a round of one", lambda known: story.is_round_of(known, 1))
    stored = manifest("stored", ticking=True, rendezvous={"etcd": {"members": 3}})
    stored["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": left}
    stored = run(stored)
    stored.wait("three members of the store", all_answer)
    stored.wait("an epoch of two workers", lambda known: story.count_epochs(known, 2) >= 1)
    with closed(operator, left):
        part.scale(2)
        whole = run(manifest("whole", ticking=True, minReplicas=1, replicas=2))
        known = whole.wait("a round of two", lambda known: story.is_round_of(known, 2))
        assert len(members_on(known, node)) == 2, "the store, too, is there"
        known = part.wait("a round of two", lambda known: story.is_round_of(known, 2))
        assert len(members_on(known, node)) == 1
    lose_a_member_with_its_disk(stored, operator, node)
    assert len(on(node, store_of(stored))) == 1

    local_cluster.stop_node(machines, node)
    missed = "a member of the store to be missed"
    stored.wait(missed, lambda known: not all_answer(known), NODE_LIMIT_S)

    def two_are_elsewhere(known):
        return story.is_round_of(known, 2) and not members_on(known, node)

    before = part.known.rounds[-1]
    known = part.wait("another worker", two_are_elsewhere, NODE_LIMIT_S)
    assert known.rounds[-1].round > before.round
    assert_only_the_infrastructure_failed(known, times=1)

    before = whole.known.rounds[-1]
    known = whole.wait("other workers and another store", two_are_elsewhere, NODE_LIMIT_S)
    assert known.rounds[-1].round > before.round
    assert_only_the_infrastructure_failed(known, times=2)

    known = stored.wait("three members of the store", all_answer, NODE_LIMIT_S)
    assert on(node, store_of(stored)) == []
    so_far = story.count_epochs(known, 2)
    known = stored.wait("further epochs", lambda known: story.count_epochs(known, 2) >= so_far + 2)
    assert [one.round for one in known.rounds] == [1], "no round was lost"
    assert_only_the_infrastructure_failed(known, times=0)

    for job in (part, whole):
        job.delete()  # the node that is left has no room for more
    stored.scale(3)
    stored.wait("a round of three", lambda known: story.is_round_of(known, 3))
    stored.delete()
    stored.wait_until_nothing_remains()
