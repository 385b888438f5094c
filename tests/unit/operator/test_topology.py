"""Where workers run: how they are told, and who leaves so that the others stay close together."""

from dataclasses import replace

import builders
import pytest
from builders import a_job, a_node, a_pod, a_round, ended, new, seen
from decisions import drained, planned, told, written

from elasticjob_operator import actions, conditions, pod_facts, pods
from elasticjob_operator.settings import Settings

RACK = "example.com/rack"
BLIND = "the operator, which may not see nodes, cannot tell them of the label"
PODS = [a_pod(index) for index in range(6)]


def in_rack(pod, rack=""):
    return replace(pod, topology_key=RACK, topology=rack)


def sites(snapshot):
    steps = [s for s in planned(snapshot).actions if isinstance(s, actions.TellSites)]
    return {site.node: site.topology for step in steps for site in step.sites}


# --- telling them --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("kubernetes.io/hostname", "spec.nodeName"),
        ("topology.kubernetes.io/zone", "metadata.labels['topology.kubernetes.io/zone']"),
        (RACK, f"metadata.labels['{RACK}']"),
    ],
)
def test_the_container_reads_its_place_off_its_own_pod(key, path):
    pod = pods.worker(a_job(topology_key=key), 0, 0, Settings())
    environment = {e["name"]: e for e in pod["spec"]["containers"][0]["env"]}
    assert environment["RDZV_TOPOLOGY"]["valueFrom"]["fieldRef"]["fieldPath"] == path
    assert pod_facts.worker_pod(with_uid(pod)).topology_key == key


def test_without_a_key_nothing_is_told():
    pod = pods.worker(a_job(), 0, 0, Settings())
    assert "RDZV_TOPOLOGY" not in {e["name"] for e in pod["spec"]["containers"][0]["env"]}
    assert pod_facts.worker_pod(with_uid(pod)).topology_key == ""


def with_uid(pod):
    return {**pod, "metadata": {**pod["metadata"], "uid": "uid"}}


@pytest.mark.parametrize(
    ("pods_there", "told_before", "told_of"),
    [
        ([in_rack(PODS[0])], {}, {"node-0": "r7"}),
        (
            [in_rack(PODS[0]), in_rack(PODS[1]), in_rack(PODS[2])],
            {},
            {"node-0": "r7", "node-1": ""},
        ),
        ([in_rack(PODS[0])], {"node-0": "r7"}, {}),
        ([in_rack(PODS[0])], {"node-0": ""}, {"node-0": "r7"}),
        ([in_rack(PODS[0], "r7")], {}, {}),
        ([in_rack(new(PODS[0]))], {}, {}),
        ([ended(in_rack(PODS[0]), 1)], {}, {}),
    ],
    ids=[
        "new there",
        "each node once, and that one has no label",
        "known",
        "labelled since",
        "the pod says it itself",
        "no node",
        "it has ended",
    ],
)
def test_the_workers_are_told_of_their_nodes_label(pods_there, told_before, told_of):
    nodes = a_node("node-0", labels={RACK: "r7"}), a_node("node-1")
    job = a_job(topology_key=RACK)
    assert sites(seen(job).pods(*pods_there).nodes(*nodes).store(sites=told_before)) == told_of


@pytest.mark.parametrize("key", [None, "kubernetes.io/hostname"])
def test_nobody_is_told_what_nobody_asks_or_all_know(key):
    node = a_node("node-0", labels={RACK: "r7", "kubernetes.io/hostname": "node-0"})
    snapshot = seen(a_job(topology_key=key)).pods(PODS[0]).nodes(node)
    assert sites(snapshot) == {}
    assert not any(settings.sites for settings in written(snapshot))


def test_members_wait_to_be_told_only_if_the_operator_sees_nodes():
    told_of = seen(a_job(topology_key=RACK))
    (settings,) = written(told_of)
    assert settings.sites
    blind = told_of.sees_nodes(sees=False).pods(in_rack(PODS[0]))
    assert sites(blind) == {}
    assert not any(settings.sites for settings in written(blind))


@pytest.mark.parametrize(
    ("nodes", "sees", "words"),
    [
        (
            [a_node("node-0", labels={RACK: "r1"}), a_node("node-1")],
            True,
            f"1 of 2 workers are not grouped: they run on node-1 without the label {RACK}",
        ),
        (
            [],
            False,
            f"2 of 2 workers are not grouped: {BLIND} {RACK}",
        ),
    ],
)
def test_workers_whose_ranks_cannot_be_grouped_are_told_of_in_the_status(nodes, sees, words):
    there = [in_rack(PODS[0]), in_rack(PODS[1])]
    job = a_job(topology_key=RACK)
    snapshot = seen(job).pods(*there).nodes(*nodes).sees_nodes(sees=sees)
    now = told(snapshot.members(*there).rounds(a_round(1, *there)))
    message = conditions.find(now.observed.status.conditions, conditions.PROGRESSING).message
    assert message.endswith(f"; the ranks of {words}")


def test_where_all_is_known_nothing_is_said_of_it():
    there = [in_rack(PODS[0]), in_rack(PODS[1], "r2")]
    node = a_node("node-0", labels={RACK: "r1"})
    snapshot = seen(a_job(topology_key=RACK)).pods(*there).nodes(node)
    now = told(snapshot.members(*there).rounds(a_round(1, *there)))
    message = conditions.find(now.observed.status.conditions, conditions.PROGRESSING).message
    assert message.endswith("all joined")


# --- leaving -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("racks", "replicas", "leave"),
    [
        ("aaabbb", 3, [3, 4, 5]),
        ("ababab", 3, [1, 3, 5]),
        ("aabbcc", 4, [4, 5]),
        ("aabccc", 5, [2]),
        ("aabbbc", 3, [2, 3, 4]),
        ("aabbbc", 4, [4, 5]),
        ("aabbcc", 5, [5]),
        ("aaaaab", 2, [2, 3, 4, 5]),
        ("aaaaaa", 4, [4, 5]),
        ("abcdef", 4, [4, 5]),
    ],
    ids=[
        "one of two groups",
        "the same when they are mixed",
        "of groups alike the newest",
        "a group of one",
        "the group that fits, not a part of each",
        "what fits, and what is missing from the smallest that is left",
        "no group fits",
        "the group of rank 0 last",
        "one group: the newest",
        "each alone: the newest",
    ],
)
def test_whole_groups_leave_so_that_the_others_stay_whole(racks, replicas, leave):
    there = [
        replace(in_rack(pod, rack), node=f"node-{index}")
        for index, (pod, rack) in enumerate(zip(PODS, racks, strict=True))
    ]
    job = a_job(replicas=replicas, at_least=1, at_most=9, topology_key=RACK)
    now = told(seen(job).pods(*there).members(*there).rounds(a_round(1, *there)))
    assert sorted(drained(now)) == [builders.a_pod(index).uid for index in leave]


def test_groups_are_known_by_the_nodes_labels_too():
    racks = {f"node-{index}": rack for index, rack in enumerate("aaabbb")}
    there = [replace(in_rack(pod), node=f"node-{pod.index}") for pod in PODS]
    nodes = [a_node(node, labels={RACK: rack}) for node, rack in racks.items()]
    job = a_job(replicas=3, at_least=1, at_most=9, topology_key=RACK)
    snapshot = seen(job).pods(*there).nodes(*nodes)
    now = told(snapshot.members(*there).rounds(a_round(1, *there)))
    assert sorted(drained(now)) == [builders.a_pod(index).uid for index in (3, 4, 5)]


def test_who_does_not_train_yet_goes_before_any_group():
    there = [in_rack(PODS[0], "a"), in_rack(PODS[1], "b"), new(in_rack(PODS[2], ""))]
    job = a_job(replicas=2, at_least=1, topology_key=RACK)
    now = told(seen(job).pods(*there).members(*there[:2]).rounds(a_round(1, *there[:2])))
    assert drained(now) == []
