"""Nodes where pods of a job failed again and again, and how new pods are kept off them."""

from dataclasses import replace
from datetime import timedelta

import builders
import pytest
from builders import NOW, a_job, a_pod, a_round, deleting, ended, outlived, pending, seen
from decisions import news, planned, told

from elasticjob_operator import api, conditions, plan
from elasticjob_operator.failure_policy import AvoidNodes, FailurePolicy, FailureRule, OnExitCodes
from elasticjob_operator.pod_facts import PodCondition
from elasticjob_operator.policies import avoidance

NODE = a_pod(1).node
LATELY = "2026-11-23T11:59:00Z"
EARLIER = "2026-11-23T11:50:00Z"
LONG_AGO = "2026-11-23T10:00:00Z"


def policy(failures=2, **more):
    ignored = OnExitCodes(operator="In", values=(3,))
    rules = (FailureRule(action="Ignore", on_exit_codes=ignored),)
    return FailurePolicy(rules=rules, avoid_nodes=AvoidNodes(failures=failures, **more))


def job(failures=2, at=(EARLIER,), **more):
    """A job of whose pods some failed on the node before."""
    before = (api.NodeFailures(node=NODE, at=at),) if at else ()
    status = api.ElasticJobStatus(node_failures=before)
    return a_job(max_restarts=99, failure_policy=policy(failures, **more), status=status)


def taken(pod, reason):
    return replace(
        deleting(pod),
        disruption=f"{reason}: it was",
        conditions=(PodCondition("DisruptionTarget", "True", reason),),
    )


def known(snapshot):
    return {its.node: its.at for its in planned(snapshot).facts.node_failures}


def made(snapshot):
    """The affinity to nodes of the pods that are made."""
    steps = [s for s in planned(snapshot).actions if hasattr(s, "manifest") and hasattr(s, "index")]
    return [step.manifest["spec"].get("affinity", {}).get("nodeAffinity") for step in steps]


# --- what counts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pod", "counts"),
    [
        (ended(a_pod(1), 1), True),
        (ended(a_pod(1), 137, reason="OOMKilled"), True),
        (ended(a_pod(1), 137), True),
        (replace(a_pod(1), lost="which is gone"), True),
        (replace(pending(a_pod(1)), phase="Failed", phase_reason="OutOfcpu"), True),
        (taken(a_pod(1), "TerminationByKubelet"), True),
        (taken(a_pod(1), "PreemptionByScheduler"), False),
        (taken(a_pod(1), "EvictionByEvictionAPI"), False),
        (deleting(a_pod(1)), False),
        (ended(a_pod(1), 0), False),
        (ended(a_pod(1), 3), False),
        (replace(ended(a_pod(1), 1), node=""), False),
    ],
    ids=[
        *("failed", "no memory", "killed", "lost with it", "refused by it", "ended by it"),
        *("preempted", "evicted by people", "deleted", "succeeded", "ignored", "nowhere"),
    ],
)
def test_failures_count_that_may_have_to_do_with_the_node(pod, counts):
    now = seen(job(at=())).pods(a_pod(0), pod)
    assert list(known(now)) == ([NODE] if counts else [])
    assert known(told(now)) == known(now), "each counts once"


def test_who_is_asked_to_leave_fails_nowhere():
    now = seen(job(at=())).pods(a_pod(0), ended(a_pod(1), 1)).drained(a_pod(1))
    assert known(now) == {}


def test_failures_in_one_second_are_one_and_those_before_the_window_none():
    pods = [replace(ended(a_pod(index), 1), node=NODE) for index in range(3)]
    assert known(seen(job(9, at=(LONG_AGO, EARLIER))).pods(*pods)) == {NODE: (EARLIER, LATELY)}


def test_only_as_many_are_remembered_as_it_takes():
    at = ("2026-11-23T11:40:00Z", EARLIER)
    assert known(seen(job(2, at=at)).pods(ended(a_pod(1), 1))) == {NODE: (EARLIER, LATELY)}


def test_the_nodes_with_the_latest_failures_are_remembered():
    many = range(avoidance.MAX_NODES + 1)
    ends = (ended(a_pod(i), 1, finished_at=NOW - timedelta(seconds=99 - i)) for i in many)
    pods = [replace(pod, node=f"node-{pod.index}") for pod in ends]
    status = seen(job(at=())).wants(replicas=40, max_replicas=40).pods(*pods)
    assert list(known(status)) == [f"node-{index}" for index in many][1:]


def test_nothing_is_remembered_without_the_policy():
    now = seen(job()).wants(failure_policy=FailurePolicy()).pods(ended(a_pod(1), 1))
    assert (known(now), made(now.later(99))) == ({}, [None, None])


# --- what follows ------------------------------------------------------------------------------

FIELD = {"key": "metadata.name", "operator": "NotIn", "values": [NODE]}
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
ZONE = {"key": "zone", "operator": "In", "values": ["a"]}
RACK = {"key": "rack", "operator": "Exists"}


def failed_again(**more):
    """The node has failed twice, and nobody need wait for the replacement."""
    return seen(job(**more)).pods(a_pod(0), outlived(ended(a_pod(1), 137)))


def test_new_pods_go_elsewhere_if_they_can():
    wish = {"weight": 100, "preference": {"matchFields": [FIELD]}}
    assert made(failed_again()) == [{PREFERRED: [wish]}]


def test_below_the_number_pods_go_anywhere():
    assert made(failed_again(failures=3)) == [None]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (None, [{"matchFields": [FIELD]}]),
        (
            [{"matchExpressions": [ZONE]}, {"matchFields": [RACK]}, {}],
            [
                {"matchExpressions": [ZONE], "matchFields": [FIELD]},
                {"matchFields": [RACK, FIELD]},
                {},
            ],
        ),
    ],
    ids=["none", "alternatives, one that holds nowhere"],
)
def test_what_the_template_says_of_nodes_holds_as_well(terms, expected):
    own = {REQUIRED: {"nodeSelectorTerms": terms}} if terms else None
    spec = {**builders.TEMPLATE["spec"], "affinity": {"nodeAffinity": own, "podAffinity": {}}}
    now = failed_again(mode="Required").wants(template={"spec": spec})
    assert made(now) == [{REQUIRED: {"nodeSelectorTerms": expected}}]
    assert now.observed.spec.template["spec"]["affinity"]["nodeAffinity"] == own, "a copy"


def test_a_wish_of_the_template_stays_beside_ours():
    own = {"weight": 1, "preference": {"matchExpressions": [RACK]}}
    spec = {**builders.TEMPLATE["spec"], "affinity": {"nodeAffinity": {PREFERRED: [own]}}}
    (affinity,) = made(failed_again().wants(template={"spec": spec}))
    assert affinity[PREFERRED][0] == own
    assert len(affinity[PREFERRED]) == 2


def test_it_ends_with_the_window_and_is_looked_at_then():
    standing = seen(job(at=(EARLIER, LATELY))).pods(a_pod(0), a_pod(1))
    left_s = planned(standing.wants(failure_policy=policy(window_seconds=900))).after_s
    assert left_s == 300
    assert planned(standing).after_s == plan.RESYNC_S
    later = standing.wants(failure_policy=policy(window_seconds=900)).later(left_s)
    assert known(later) == {NODE: (LATELY,)}


# --- what is told ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "kept"),
    [("Preferred", f"new pods go elsewhere than to {NODE}"), ("Required", f"are kept off {NODE}")],
)
def test_which_nodes_are_avoided_and_why_is_told_once_and_stands_in_the_status(mode, kept):
    now = failed_again(mode=mode)
    ((_, words),) = [event for event in news(now) if event[0] == "NodeAvoided"]
    assert words.endswith(f"{kept}: pods failed there 2 times within 3600 s")
    after = told(now)
    assert after.observed.status.node_failures == (
        api.NodeFailures(node=NODE, at=(EARLIER, LATELY)),
    )
    assert "NodeAvoided" not in dict(news(after))
    stands = told(after.rounds(a_round(1, a_pod(0), a_pod(1, 1))).pods(a_pod(0), a_pod(1, 1)))
    found = conditions.find(stands.observed.status.conditions, conditions.PROGRESSING)
    assert found.message.endswith(words)
    waiting = after.pods(a_pod(0), builders.unschedulable(a_pod(1, 1)))
    found = conditions.find(told(waiting).observed.status.conditions, conditions.PROGRESSING)
    assert found.message.endswith(words)
