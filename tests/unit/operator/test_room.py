"""Pods for which there is no room: the scheduler finds no node, or the API server refuses them."""

import pytest
from builders import a_job, a_pod, a_round, ended, new, pending, seen, unschedulable
from decisions import created, planned, told, written

from elasticjob_operator import conditions, pod_status, report

PODS = [a_pod(index) for index in range(4)]


def progressing(status):
    return conditions.find(status.conditions, conditions.PROGRESSING)


def four(*pods):
    """A job that wants four workers and needs two, with a round of those that run."""
    running = [pod for pod in pods if pod.running]
    snapshot = seen(a_job(replicas=4, at_least=2)).pods(*pods).members(*running)
    return snapshot.rounds(a_round(1, *running)) if len(running) >= 2 else snapshot


@pytest.mark.parametrize(
    ("running", "waiting", "status", "words"),
    [
        (2, 2, "True", "round 1 stands with 2 workers; 2 of 4 pods find no node: "),
        (1, 3, "False", "3 of 4 pods find no node, at least 2 must run: "),
    ],
)
def test_a_job_runs_with_what_it_has_from_the_minimum_on(running, waiting, status, words):
    pods = [*PODS[:running], *(unschedulable(pod) for pod in PODS[running:])]
    found = progressing(told(four(*pods)).observed.status)
    assert (found.status, found.reason) == (status, "Unschedulable")
    assert found.message == words + "0/2 nodes are available: insufficient cpu."
    assert waiting == len(pods) - running


@pytest.mark.parametrize(
    ("pod", "expected", "scheduling"),
    [
        (PODS[2], 3, False),
        (pending(PODS[2]), 3, False),
        (new(PODS[2]), 3, True),
        (unschedulable(PODS[2]), 2, True),
        (ended(PODS[2], 0), 2, False),
    ],
    ids=["it runs", "it starts", "it is new", "it finds no node", "it has finished"],
)
def test_the_others_wait_for_a_pod_that_will_come_and_give_no_pod_up_that_has_no_node(
    pod, expected, scheduling
):
    snapshot = four(*PODS[:2], pod).wants(replicas=3).store(settings=None)
    (settings,) = written(snapshot)
    assert (settings.expected_nodes, settings.scheduling) == (expected, scheduling)


def test_pods_that_gates_hold_back_find_no_node_either():
    gated = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }
    assert pod_status.unschedulable({"conditions": [gated]}) == gated["message"]


# --- pods that are refused -----------------------------------------------------------------------


def test_after_a_refusal_one_pod_is_tried_after_a_while_and_after_twice_that():
    refused = four(*PODS[:2]).refused(ago_s=0.5)
    assert created(refused) == []
    assert planned(refused).after_s == 0.5
    assert created(four(*PODS[:2]).refused(ago_s=1)) == ["digits-2-0"]
    assert created(four(*PODS[:2]).refused(ago_s=3, times=3)) == []
    assert created(four(*PODS[:2]).refused(ago_s=4, times=3)) == ["digits-2-0"]


def test_nobody_waits_for_a_pod_that_is_refused_and_nobody_gives_up_for_the_lack_of_it():
    (settings,) = written(four(*PODS[:2]).refused().store(settings=None))
    assert (settings.expected_nodes, settings.scheduling) == (2, True)


@pytest.mark.parametrize(
    ("running", "status", "words"),
    [
        (2, "True", "round 1 stands with 2 workers; 2 of 4 pods are there: "),
        (1, "False", "1 of 4 pods are there, at least 2 must run: "),
    ],
)
def test_a_refusal_is_told_in_the_api_servers_words_for_as_long_as_pods_are_missing(
    running, status, words
):
    snapshot = four(*PODS[:running]).refused()
    found = progressing(told(snapshot).observed.status)
    assert (found.status, found.reason) == (status, "ObjectRefused")
    assert found.message == words + snapshot.observed.refused.words
    whole = told(snapshot.pods(*PODS).wants(replicas=running)).observed.status
    assert progressing(whole).reason != "ObjectRefused"


def test_a_refusal_is_over_with_the_first_pod_that_is_made():
    decided = planned(four(*PODS[:2]).refused(ago_s=1))
    made = report.Outcome(created=(report.Created("digits-2-0", 2, 0),))
    assert progressing(report.status(decided, made)).reason != "ObjectRefused"
