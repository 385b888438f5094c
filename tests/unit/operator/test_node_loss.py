"""Pods whose node is lost: who is, what the store is told, and how the pods go."""

from dataclasses import replace

import builders
import pytest
from builders import a_job, a_node, a_pod, a_round, deleting, ended, seen, settings
from decisions import created, deleted, kinds, marked_gone, news, planned, told

from elasticjob_operator import actions, api, node_facts
from elasticjob_operator.policies import node_loss

HERE, THERE = a_pod(0), a_pod(1)  # on node-0 and node-1
GOOD = a_node("node-0")
LONG = node_loss.UNREADY_S


def running(node, *, heard=False, pod=THERE):
    """A job whose round 1 stands; one of its two pods is on this node."""
    before = told(seen().pods(HERE, THERE).members(HERE, THERE).rounds(a_round(1, HERE, THERE)))
    return before.pods(HERE, pod).members(HERE, *([THERE] if heard else [])).nodes(GOOD, node)


def removals(snapshot):
    steps = planned(snapshot).actions
    return [(s.name, s.at_once) for s in steps if isinstance(s, actions.DeletePod)]


# --- who is lost -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "heard", "at_once"),
    [
        (a_node("node-1"), False, None),
        (a_node("node-1", unready_s=LONG - 1), False, None),
        (a_node("node-1", unready_s=LONG), False, False),
        (a_node("node-1", unready_s=1000), True, None),
        (a_node("node-1", absent=True), False, True),
        (a_node("node-1", absent=True), True, True),
        (a_node("node-1", out_of_service=True), True, True),
    ],
    ids=[
        "ready",
        "not ready for a moment",
        "not ready",
        "not ready, and its member is heard",
        "gone",
        "gone, and its lease runs",
        "out of service",
    ],
)
def test_a_pod_is_lost_with_its_node(node, heard, at_once):
    now = running(node, heard=heard)
    if at_once is None:
        assert (removals(now), created(now), marked_gone(now)) == ([], [], [])
        return
    assert removals(now) == [("digits-1-0", at_once)]
    assert created(now) == ["digits-1-1"]
    assert marked_gone(now) == [THERE.uid]


def test_while_the_store_does_not_answer_nobody_knows_who_trains_on():
    assert removals(running(a_node("node-1", unready_s=1000)).silent_store()) == []


def test_members_get_a_moment_to_come_back_to_a_store_that_was_away():
    now = running(a_node("node-1", unready_s=1000)).store(since=builders.NOW)
    assert removals(now.later(LONG - 1)) == []
    assert planned(now.later(LONG - 1)).after_s == 1
    assert removals(now.later(LONG)) == [("digits-1-0", False)]


def test_when_no_node_at_all_is_ready_the_nodes_are_not_to_blame():
    now = running(a_node("node-1", unready_s=1000))
    nobody = builders.Seen(replace(now.observed, any_node_ready=False))
    assert removals(nobody) == []
    assert planned(nobody).after_s == LONG
    gone = running(a_node("node-1", absent=True))
    gone = builders.Seen(replace(gone.observed, any_node_ready=False))
    assert removals(gone) == [("digits-1-0", True)]


def test_a_node_that_is_not_ready_is_looked_at_again_when_it_is_time():
    assert planned(running(a_node("node-1", unready_s=LONG - 3))).after_s == 3


def test_where_nodes_may_not_be_seen_nothing_is_lost():
    now = running(GOOD)
    assert removals(builders.Seen(replace(now.observed, nodes={}))) == []


@pytest.mark.parametrize("end", [ended(THERE, 0), ended(THERE, 1)], ids=["finished", "failed"])
def test_what_had_ended_before_is_not_lost(end):
    now = running(a_node("node-1", absent=True), pod=end)
    assert planned(now).facts.restarts.infrastructure == 0
    assert deleted(now) == []


# --- what follows ------------------------------------------------------------------------------


def test_a_loss_is_the_infrastructures_and_told_once():
    now = running(a_node("node-1", unready_s=60))
    words = "was lost with its node node-1, which is not ready (it posts no status)"
    assert ("WorkerLost", f"pod digits-1-0 {words}") in news(now)
    assert planned(now).facts.restarts == api.Restarts(infrastructure=1)
    again = told(now).pods(HERE, deleting(THERE))
    assert planned(again).facts.restarts == api.Restarts(infrastructure=1)
    assert told(now).observed.status.ready == 1


def test_a_pod_that_is_stuck_in_deletion_is_removed_when_its_node_is_certainly_off():
    stuck = deleting(THERE)
    assert removals(running(a_node("node-1", unready_s=60), pod=stuck)) == []
    assert removals(running(a_node("node-1", absent=True), pod=stuck)) == [("digits-1-0", True)]


def test_a_rule_may_be_about_it():
    rule = {"action": "FailJob", "onReasons": ["NodeLost"]}
    now = running(a_node("node-1", absent=True))
    policy = api.FailurePolicy.model_validate({"rules": [rule]})
    assert planned(now.wants(failure_policy=policy)).over.reason == "FailurePolicy"


# --- the store ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "answers", "goes"),
    [
        (a_node("node-1", unready_s=LONG), False, True),
        (a_node("node-1", unready_s=LONG), True, False),
        (a_node("node-1", absent=True), False, True),
        (a_node("node-1"), False, False),
    ],
)
def test_a_store_that_neither_answers_nor_has_a_node_that_does_is_made_anew(node, answers, goes):
    now = seen(a_job()).pods(HERE).nodes(GOOD, node)
    now = now.store_pods(builders.a_store_pod(uid="store", node="node-1"))
    now = now if answers else now.silent_store()
    assert removals(now) == ([("digits-rdzv-0", True)] if goes else [])


# --- reading nodes -----------------------------------------------------------------------------


def body(status="True", taints=(), **condition):
    ready = {"type": "Ready", "status": status, **condition}
    return {
        "metadata": {"name": "n"},
        "spec": {"taints": list(taints)},
        "status": {"conditions": [ready]},
    }


def test_a_node_that_is_not_ready_is_read_with_its_words_and_since_when():
    since = "2026-11-23T12:00:00Z"
    read = node_facts.node(body("Unknown", lastTransitionTime=since, message="no status"))
    assert (read.unready_since, read.words, read.off) == (builders.NOW, "no status", False)


def test_a_node_that_is_ready_or_new_is_no_loss():
    assert node_facts.node(body()).unready_since is None
    assert node_facts.node({"metadata": {"name": "n"}}).unready_since is None


def test_a_node_that_is_out_of_service_is_off():
    taint = {"key": node_facts.OUT_OF_SERVICE, "effect": "NoExecute"}
    assert node_facts.node(body(taints=[taint])).off


def test_nothing_is_done_twice_about_it():
    again = replace(a_pod(1, 1), node="node-0")
    after = told(running(a_node("node-1", unready_s=60))).pods(HERE, deleting(THERE), again)
    after = after.store(gone=frozenset({THERE.uid}), settings=settings(round_floor=1))
    assert kinds(after) == ["Provision"]
