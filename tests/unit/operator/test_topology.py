"""Where workers run: how they are told, and who leaves so that the others stay close together."""

from dataclasses import replace

import builders
import pytest
from builders import a_job, a_node, a_pod, a_round, ended, new, seen
from decisions import drained, planned, told

from elasticjob_operator import actions, conditions, pod_facts, pods
from elasticjob_operator.settings import Settings

RACK = "example.com/rack"
PODS = [a_pod(index) for index in range(6)]


def in_rack(pod, rack=""):
    return replace(pod, topology_key=RACK, topology=rack)


def labels(snapshot):
    steps = [s for s in planned(snapshot).actions if isinstance(s, actions.LabelPod)]
    return [(step.name, step.key, step.value) for step in steps]


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
    ("pod", "node_labels", "told_of"),
    [
        (in_rack(PODS[0]), {RACK: "r7"}, [("digits-0-0", RACK, "r7")]),
        (in_rack(PODS[0], "r7"), {RACK: "r7"}, []),
        (in_rack(PODS[0]), {}, []),
        (in_rack(new(PODS[0])), {RACK: "r7"}, []),
        (ended(in_rack(PODS[0]), 1), {RACK: "r7"}, []),
        (PODS[0], {RACK: "r7"}, []),
    ],
    ids=["new there", "known", "its node has none", "no node", "it has ended", "nobody asks"],
)
def test_a_pod_is_told_of_its_nodes_label_once(pod, node_labels, told_of):
    node = a_node("node-0", labels=node_labels)
    assert labels(seen(a_job(topology_key=RACK)).pods(pod).nodes(node)) == told_of


def test_workers_whose_place_is_not_known_are_told_of():
    there = [in_rack(PODS[0], "r1"), in_rack(PODS[1])]
    job = a_job(topology_key=RACK)
    now = told(seen(job).pods(*there).members(*there).rounds(a_round(1, *there)))
    words = conditions.find(now.observed.status.conditions, conditions.PROGRESSING).message
    assert words.endswith(
        "; 1 of 2 workers do not say where they run, so their ranks are not grouped:"
        f" their nodes have no label {RACK}, or the operator may not see nodes"
    )


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


def test_who_does_not_train_yet_goes_before_any_group():
    there = [in_rack(PODS[0], "a"), in_rack(PODS[1], "b"), new(in_rack(PODS[2], ""))]
    job = a_job(replicas=2, at_least=1, topology_key=RACK)
    now = told(seen(job).pods(*there).members(*there[:2]).rounds(a_round(1, *there[:2])))
    assert drained(now) == []
