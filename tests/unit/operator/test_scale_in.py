"""Scaling in: who goes, and how it goes without a failure and with one round for all."""

from dataclasses import replace
from datetime import timedelta

import builders
import pytest
from builders import a_job, a_pod, a_round, deleting, ended, pending, seen, unschedulable
from decisions import created, deleted, drained, kinds, planned, told, written

from elasticjob_operator import api, report
from elasticjob_operator.policies import scale_in
from rdzv_client import wire

PODS = tuple(a_pod(index) for index in range(4))


def on(node, pod):
    return replace(pod, node=node)


def older(pod, seconds):
    return replace(pod, created_at=pod.created_at - timedelta(seconds=seconds))


def running(*pods, replicas, members=None):
    """A job scaled in to so many replicas; all pods, or these, stand in round 1, by rank."""
    members = pods if members is None else members
    now = seen(a_job(replicas=replicas, at_least=1, at_most=9)).pods(*pods).members(*pods)
    return told(now.rounds(a_round(1, *members)))


def names(uids):
    return [uid.replace("uid", "digits") for uid in uids]


# --- who goes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pods", "replicas", "gone"),
    [
        (PODS, 3, [3]),
        ((PODS[0], unschedulable(PODS[1]), PODS[2], pending(PODS[3])), 3, [1]),
        ((PODS[0], PODS[1], pending(PODS[2]), PODS[3]), 3, [2]),
        ((PODS[0], builders.stuck(PODS[1], "ErrImagePull"), pending(PODS[2])), 2, [1]),
        ((PODS[0], older(PODS[1], 5), older(PODS[2], 9), older(PODS[3], 1)), 3, [3]),
        (tuple(on("a", pod) for pod in (*PODS[:1], older(PODS[1], 9), older(PODS[2], 1))), 2, [2]),
        ((on("b", PODS[0]), on("a", PODS[1]), on("a", PODS[2]), on("b", a_pod(7))), 2, [2, 7]),
        ((on("a", PODS[0]), on("a", PODS[1]), on("a", PODS[2]), on("b", PODS[3])), 2, [1, 2]),
        ((on("a", PODS[0]), on("b", PODS[1])), 1, [1]),
        ((on("a", older(PODS[0], -60)), on("b", older(PODS[1], 60))), 1, [1]),
    ],
    ids=[
        "the newest",
        "without a node before starting",
        "starting before running",
        "stuck before starting",
        "newest by age and not by index",
        "newest of the node",
        "each of the fullest nodes its newest",
        "of the fullest node first",
        "not rank 0",
        "not rank 0 though it is the newest",
    ],
)
def test_who_is_needed_least_goes_first(pods, replicas, gone):
    now = running(*pods, replicas=replicas, members=[pod for pod in pods if pod.running])
    going = [*deleted(now), *names(drained(now))]
    assert sorted(going) == [f"digits-{index}-0" for index in gone]


def test_spares_go_before_members():
    now = running(*PODS, replicas=3, members=[PODS[0], PODS[2], PODS[3]])
    assert drained(now) == [PODS[1].uid]


def test_rank_0_goes_when_nobody_else_is_left_to_go():
    now = running(PODS[2], pending(PODS[3]), replicas=1, members=[PODS[2]])
    assert (deleted(now), drained(now)) == (["digits-3-0"], [])


def test_who_has_finished_is_not_asked_and_neither_are_its_peers():
    now = running(ended(PODS[0], 0), ended(PODS[1], 0), *PODS[2:], replicas=2, members=PODS)
    assert kinds(now) == ["Provision", "WriteSettings"]


# --- how it goes -------------------------------------------------------------------------------


def test_all_are_asked_at_once_and_none_is_deleted_while_it_is_there():
    now = running(*PODS, replicas=2)
    assert kinds(now) == ["Provision", "WriteSettings", "Drain"]
    assert written(now)[0].expected_nodes == 2
    asked = now.drained(PODS[2], PODS[3])
    assert (deleted(asked), drained(asked), created(asked)) == ([], [], [])


def test_a_pod_is_deleted_when_its_member_has_left():
    left = running(*PODS, replicas=3).drained(PODS[3]).members(*PODS[:3])
    assert deleted(left) == ["digits-3-0"]


def test_a_pod_is_deleted_when_it_ended_and_its_success_does_not_hold_its_index():
    now = running(*PODS[:3], ended(PODS[3], 0), replicas=3).drained(PODS[3])
    assert deleted(now) == ["digits-3-0"]
    assert told(now).observed.status.succeeded == 0
    assert created(now.wants(replicas=4)) == ["digits-3-1"]


def test_a_pod_that_does_not_leave_is_deleted_after_its_grace():
    asked = running(*PODS, replicas=3).drained(PODS[3])
    allowed_s = scale_in.GRACE_S + scale_in.LEAVE_S
    assert planned(asked.later(allowed_s - 1)).after_s == 1
    assert deleted(asked.later(allowed_s)) == ["digits-3-0"]


def test_the_templates_own_grace_counts():
    spec = {**builders.TEMPLATE["spec"], "terminationGracePeriodSeconds": 300}
    asked = running(*PODS, replicas=3).drained(PODS[3]).wants(template={"spec": spec})
    assert deleted(asked.later(329)) == []
    assert deleted(asked.later(330)) == ["digits-3-0"]


def test_pods_that_do_not_train_yet_are_deleted_at_once_also_without_a_store():
    now = running(*PODS[:3], pending(PODS[3]), replicas=3, members=PODS[:3])
    assert deleted(now) == ["digits-3-0"]
    assert deleted(now.silent_store()) == ["digits-3-0"]


def test_without_its_store_nobody_can_leave_and_the_round_goes_on():
    now = running(*PODS, replicas=2).silent_store()
    assert (deleted(now), drained(now)) == ([], [])


@pytest.mark.parametrize(
    "end", [deleting(PODS[3]), ended(PODS[3], 0), ended(PODS[3], 143)], ids=["deleted", "0", "143"]
)
def test_scaling_in_counts_as_nobodys_failure(end):
    now = running(*PODS, replicas=3).drained(PODS[3]).pods(*PODS[:3], end)
    assert planned(now).facts.restarts == api.Restarts()
    assert planned(now).facts.ended == ()


@pytest.mark.parametrize(("cause", "lost"), [("drained", 0), ("signal", 1)])
def test_so_does_what_an_operator_deleted_that_could_not_tell_of_it(cause, lost):
    left = wire.Left(f"{PODS[3].uid}.0", PODS[3].uid, 3, PODS[3].name, cause, "it was asked to")
    before = told(running(*PODS, replicas=3).drained(PODS[3]))
    assert planned(before.pods(*PODS[:3]).store(left=(left,))).facts.restarts.infrastructure == lost


def test_a_pod_that_was_deleted_before_it_trained_counts_as_nobodys_failure():
    now = running(*PODS[:3], pending(PODS[3]), replicas=3, members=PODS[:3])
    outcome = report.Outcome(deleted=(report.Deleted("digits-3-0", ""),))
    after = now.told(report.status(planned(now), outcome)).pods(*PODS[:3])
    assert planned(after).facts.restarts == api.Restarts()


def test_the_job_is_complete_when_those_who_were_not_asked_to_leave_have_finished():
    pods = (*(ended(pod, 0) for pod in PODS[:3]), PODS[3])
    now = running(*PODS, replicas=3).drained(PODS[3]).pods(*pods)
    assert planned(now).over.message == "all 3 workers of round 1 ended with success"


# --- indices -----------------------------------------------------------------------------------


def test_who_stays_keeps_its_index_and_new_pods_take_the_lowest_that_is_free():
    kept = (PODS[0], PODS[3])
    assert created(running(*kept, replicas=2)) == []
    assert created(running(*kept, replicas=4)) == ["digits-1-0", "digits-2-0"]
    assert created(running(*kept, replicas=5)) == ["digits-1-0", "digits-2-0", "digits-4-0"]


def test_the_index_of_a_pod_that_is_still_leaving_is_not_free():
    now = running(PODS[0], PODS[1], PODS[2], replicas=3).drained(PODS[1])
    assert created(now) == ["digits-3-0"]


def test_there_are_never_more_pods_than_the_most_that_are_allowed():
    now = running(*PODS, replicas=4).wants(max_replicas=4).drained(PODS[1])
    assert created(now) == []
    assert created(now.pods(PODS[0], deleting(PODS[1]), *PODS[2:])) == ["digits-1-1"]


def test_a_failed_pods_back_off_is_not_got_round_by_another_index():
    failed = ended(PODS[3], 1, finished_at=builders.NOW)
    now = running(PODS[0], PODS[2], failed, replicas=3, members=(PODS[0], PODS[2]))
    assert created(now) == []
    assert planned(now).after_s == 1
    assert created(told(now).later(1)) == ["digits-1-0"]
