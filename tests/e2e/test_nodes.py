"""A node that really dies: its machine ends at once, and nobody tells Kubernetes."""

from examples.demo import story
from localcluster import cluster as local_cluster

NODE_LIMIT_S = 240


def members_on(known, node):
    members = known.job.get("status", {}).get("rendezvous", {}).get("members", [])
    return [member["pod"] for member in members if member["node"] == node]


def test_the_workers_of_a_node_that_died_are_replaced_on_another(run, manifest, node, machines):
    job = run(manifest(epochs=400, width=64, minReplicas=1, replicas=3, maxReplicas=3))
    known = job.wait("a round of three", lambda known: story.is_round_of(known, 3))
    lost = members_on(known, node)
    assert lost, "workers are spread over the nodes"
    local_cluster.stop_node(machines, node)
    job.wait(
        "three workers on the node that is left",
        lambda known: story.is_round_of(known, 3) and not members_on(known, node),
        NODE_LIMIT_S,
    )
    known = job.wait("an epoch of three workers", lambda known: story.count_epochs(known, 3) >= 1)
    restarts = known.job["status"]["restarts"]
    assert restarts["infrastructure"] == len(lost)
    assert restarts["counted"] == 0
    job.delete()


def test_a_store_that_died_with_its_node_is_made_anew_and_filled_again(
    run, manifest, node, machines, operator
):
    nodes = operator.tools.ask("kubectl", "get", "nodes", "--output=name").split()
    (left,) = (name for name in nodes if name != f"node/{node}")
    operator.tools.show("kubectl", "cordon", left)
    try:
        job = run(manifest(epochs=400, width=64, minReplicas=1, replicas=2, maxReplicas=3))
        known = job.wait("a round of two", lambda known: story.is_round_of(known, 2))
        assert len(members_on(known, node)) == 2, "the store, too, is there"
    finally:
        operator.tools.show("kubectl", "uncordon", left)
    job.scale(3)
    before = job.wait("a round of three", lambda known: story.is_round_of(known, 3))
    local_cluster.stop_node(machines, node)
    known = job.wait(
        "three workers on the node that is left",
        lambda known: story.is_round_of(known, 3) and not members_on(known, node),
        NODE_LIMIT_S,
    )
    assert known.rounds[-1].number > before.rounds[-1].number
    assert known.job["status"]["restarts"]["counted"] == 0
    job.delete()
