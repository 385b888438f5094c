"""From what is seen to what is done: the operator's decisions, as a table."""

import builders
import pytest
from builders import a_job, a_pod, a_round, deleting, ended, outlived, pending, seen, settings
from decisions import created, deleted, kinds, marked_gone, planned, told, written

from elasticjob_operator import actions, api, closing, plan, run_policy
from elasticjob_operator.policies import scale, slow_start

# --- starting ----------------------------------------------------------------------------------


def test_the_store_comes_first():
    assert kinds(seen().silent_store()) == ["Provision"]


def test_the_bounds_are_in_the_store_before_the_first_pod():
    fresh = seen(a_job(replicas=3)).store(settings=None)
    assert kinds(fresh) == ["Provision", "WriteSettings", *["CreatePod"] * 3]
    assert created(fresh) == ["digits-0-0", "digits-1-0", "digits-2-0"]
    assert written(fresh) == [settings(expected=3, scheduling=True)]


def test_of_very_many_pods_the_rest_is_made_by_the_next_look_which_comes_at_once():
    n = plan.CREATES_AT_ONCE
    large = seen(a_job(replicas=n + 1, at_most=n + 1)).store(settings=None)
    assert kinds(large) == ["Provision", "WriteSettings", *["CreatePod"] * n]
    assert written(large)[0].expected_nodes == n + 1
    assert planned(large).after_s == 0.0
    rest = large.pods(*(a_pod(i) for i in range(n)))
    assert created(rest) == [f"digits-{n}-0"]
    assert planned(rest).after_s == plan.RESYNC_S


def test_a_store_that_does_not_answer_is_looked_at_again_unasked():
    assert planned(seen().silent_store()).after_s == plan.STORE_AGAIN_S


def test_a_pod_that_takes_long_to_start_is_looked_at_again_unasked():
    starting = seen().pods(a_pod(0), pending(a_pod(1)))
    assert planned(starting).after_s == slow_start.SLOW_S - 60
    assert planned(starting.later(30)).after_s == plan.RESYNC_S


def test_nothing_is_done_twice():
    running = seen().pods(a_pod(0), a_pod(1))
    assert kinds(running) == ["Provision"]
    assert planned(running).after_s == plan.RESYNC_S


def test_an_emptied_store_gets_bounds_and_floor_before_any_new_pod():
    status = api.ElasticJobStatus(rendezvous=api.RendezvousStatus(round=7))
    emptied = seen().told(status).pods(a_pod(0)).store(settings=None)
    assert kinds(emptied) == ["Provision", "WriteSettings", "CreatePod"]
    assert written(emptied)[0].round_floor == 7


# --- replacing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lost",
    [
        deleting(a_pod(1)),
        ended(a_pod(1), 137),
        ended(a_pod(1), 143),
        ended(a_pod(1), 1, reason="OOMKilled"),
    ],
    ids=["deleted", "killed", "terminated", "out of memory"],
)
def test_what_the_infrastructure_took_is_replaced_at_once_under_a_new_name(lost):
    assert created(seen().pods(a_pod(0), lost)) == ["digits-1-1"]


def test_a_pod_that_vanished_is_replaced_under_a_new_name():
    status = api.ElasticJobStatus(attempts=api.Attempts(created=(1, 2), ended=(0, 1)))
    assert created(seen().told(status).pods(a_pod(0))) == ["digits-1-2"]


@pytest.mark.parametrize(("failures", "delay_s"), [(0, 1), (1, 2), (2, 4)])
def test_a_pod_that_failed_by_itself_is_replaced_after_a_growing_delay(failures, delay_s):
    restarts = api.Restarts(pod=failures, counted=failures)
    status = api.ElasticJobStatus(restarts=restarts)
    failed = ended(a_pod(1), 1, finished_at=builders.NOW)
    now = seen(a_job(max_restarts=9)).told(status).pods(a_pod(0), failed)
    assert created(now) == []
    assert planned(now).after_s == delay_s
    assert created(told(now).later(delay_s)) == ["digits-1-1"]


def test_the_delay_has_a_limit_however_often_it_failed():
    status = api.ElasticJobStatus(restarts=api.Restarts(pod=100_000, counted=100_000))
    failed = ended(a_pod(1), 1, finished_at=builders.NOW)
    now = seen(a_job(max_restarts=1_000_000)).told(status).pods(a_pod(0), failed)
    assert planned(now).after_s == 30


def test_a_pod_that_its_node_refuses_to_run_is_not_made_again_and_again():
    refused = builders.replace(
        a_pod(1, attempt=3),
        phase="Failed",
        phase_reason="OutOfcpu",
        training=builders.Container(),
        created_at=builders.NOW,
    )
    assert planned(seen().pods(a_pod(0), refused)).after_s == 8.0


def test_a_finished_worker_is_not_replaced():
    assert created(seen().pods(a_pod(0), ended(a_pod(1), 0))) == []


def test_of_the_failed_pods_of_an_index_the_newest_is_kept_for_its_log():
    pods = [ended(a_pod(1, 0), 1), ended(a_pod(1, 1), 1), a_pod(1, 2)]
    assert deleted(told(seen().pods(a_pod(0), *pods))) == ["digits-1-0"]


def test_a_failed_pod_whose_sidecars_do_not_end_is_deleted_after_a_moment():
    """Until then it holds what its node gave it, such as a GPU that its successor needs."""
    failed = outlived(ended(a_pod(1), 1, finished_at=builders.NOW))
    now = seen().pods(a_pod(0), failed, a_pod(1, 1))
    assert deleted(now) == []
    assert planned(now).after_s == scale.SIDECAR_GRACE_S
    assert deleted(now.later(scale.SIDECAR_GRACE_S)) == ["digits-1-0"]


def test_a_finished_pod_whose_sidecars_run_is_kept_until_the_job_is_over():
    now = seen().pods(a_pod(0), outlived(ended(a_pod(1), 0)))
    assert deleted(now.later(1000)) == []


# --- scaling -----------------------------------------------------------------------------------


def test_scale_out_makes_the_missing_indices():
    assert created(seen(a_job(replicas=4)).pods(a_pod(0), a_pod(1))) == ["digits-2-0", "digits-3-0"]


def test_of_two_pods_with_one_index_the_later_goes():
    assert deleted(seen().pods(a_pod(0), a_pod(1), a_pod(1, 1))) == ["digits-1-1"]


def test_new_bounds_reach_the_workers():
    edited = seen(a_job(at_least=1, at_most=8)).pods(a_pod(0), a_pod(1))
    assert [(s.min_nodes, s.max_nodes, s.seq) for s in written(edited)] == [(1, 8, 2)]


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (a_pod(1), 2),
        (pending(a_pod(1)), 2),
        (builders.unschedulable(a_pod(1)), 1),
        (builders.stuck(a_pod(1), "ImagePullBackOff"), 1),
        (ended(a_pod(1), 0), 1),
        (ended(a_pod(1), 137), 2),  # its replacement is on the way
    ],
    ids=["runs", "starts", "finds no node", "has no image", "finished", "was killed"],
)
def test_the_workers_know_how_many_of_them_to_expect(pod, expected):
    wrong = seen().store(settings=settings(expected=99)).pods(a_pod(0), pod)
    assert written(wrong)[0].expected_nodes == expected


# --- gone --------------------------------------------------------------------------------------


def test_a_member_whose_pod_ended_badly_is_taken_out():
    killed = ended(a_pod(1), 137)
    now = seen().pods(a_pod(0), killed).members(a_pod(0), killed)
    assert marked_gone(now) == [killed.uid]
    reason = next(s for s in planned(now).actions if isinstance(s, actions.MarkGone)).reason
    assert reason == "its pod was killed (exit code 137)"


def test_a_member_of_the_round_whose_lease_ran_out_is_still_told_gone():
    killed = ended(a_pod(1), 137)
    now = seen().pods(a_pod(0), killed).members(a_pod(0)).rounds(a_round(1, a_pod(0), a_pod(1)))
    assert marked_gone(now) == [killed.uid]


def test_it_is_told_once():
    killed = ended(a_pod(1), 137)
    now = seen().pods(a_pod(0), killed).members(killed).store(gone=frozenset([killed.uid]))
    assert marked_gone(now) == []


def test_a_member_that_finished_or_is_told_to_stop_leaves_by_itself():
    now = seen().pods(ended(a_pod(0), 0), deleting(a_pod(1))).members(a_pod(0), a_pod(1))
    assert marked_gone(now) == []


def test_a_member_without_a_known_pod_is_gone_only_if_the_api_server_says_so():
    now = seen().pods(a_pod(0), a_pod(1)).members(a_pod(0), a_pod(1), a_pod(2))
    confirm = [s for s in planned(now).actions if isinstance(s, actions.ConfirmGone)]
    assert [(s.name, s.uid) for s in confirm] == [("digits-2-0", "uid-2-0")]


# --- the end -----------------------------------------------------------------------------------


def finished(*, late=()):
    pods = [ended(a_pod(0), 0), ended(a_pod(1), 0)]
    return seen().pods(*pods, *late).rounds(a_round(3, a_pod(0), a_pod(1)))


def test_the_job_is_complete_when_all_workers_of_the_last_round_succeeded():
    over = planned(finished()).over
    assert over.condition == "Complete"
    assert over.message == "all 2 workers of round 3 ended with success"


def test_one_finished_worker_does_not_end_the_job():
    now = seen().pods(ended(a_pod(0), 0), a_pod(1)).rounds(a_round(3, a_pod(0), a_pod(1)))
    assert planned(now).over is None


def test_success_in_an_earlier_round_is_not_the_end():
    now = seen().pods(ended(a_pod(0), 0), ended(a_pod(1), 137), a_pod(1, 1))
    now = now.rounds(a_round(3, a_pod(0), a_pod(1)), a_round(4, a_pod(1, 1)))
    assert planned(now).over is None


def test_a_late_pod_does_not_keep_a_finished_job_running():
    over = planned(finished(late=[a_pod(2)])).over
    assert over.condition == "Complete"


def test_the_status_is_enough_to_know_the_end():
    """The store may be gone, and the operator may have been restarted, when the last pod ends."""
    running = seen().pods(a_pod(0), a_pod(1)).rounds(a_round(3, a_pod(0), a_pod(1)))
    after = told(running).silent_store().pods(ended(a_pod(0), 0), ended(a_pod(1), 0))
    assert planned(after).over.condition == "Complete"


def a_large_job_without_its_store(*, pods_now):
    there = [a_pod(index) for index in range(300)]
    job = builders.a_job(replicas=300, at_least=1, at_most=300)
    running = seen(job).pods(*there).rounds(a_round(3, *there))
    return told(running).silent_store().pods(*map(pods_now, there))


def test_the_status_is_enough_to_know_the_end_of_a_job_whose_members_it_cannot_all_list():
    over = planned(a_large_job_without_its_store(pods_now=lambda pod: ended(pod, 0))).over
    assert over.message == "all 300 workers of round 3 ended with success"
    one_trains = a_large_job_without_its_store(
        pods_now=lambda pod: pod if pod.index == 299 else ended(pod, 0)
    )
    assert planned(one_trains).over is None
    one_failed = a_large_job_without_its_store(
        pods_now=lambda pod: ended(pod, 1 if pod.index == 299 else 0)
    )
    assert planned(one_failed).over is None


def test_late_pods_are_told_that_the_run_is_closed_and_get_a_moment_to_end():
    now = finished(late=[a_pod(2)])
    assert kinds(now) == ["FollowStore", "WriteSettings"]
    assert written(now)[0].closed.startswith("the job is Complete: all 2 workers")
    assert planned(now).after_s == closing.CLOSING_GRACE_S
    assert deleted(told(now).later(closing.CLOSING_GRACE_S)) == ["digits-2-0"]


def test_the_store_goes_when_the_last_pod_has_ended_and_then_nothing_is_left_to_do():
    assert kinds(finished()) == ["RemoveStore"]
    assert kinds(told(finished()).store_pods()) == []


def test_an_external_store_is_emptied():
    job = a_job(rendezvous={"etcd": {"endpoints": ["http://etcd:2379"]}})
    pods = [ended(a_pod(0), 0), ended(a_pod(1), 0)]
    now = seen(job).pods(*pods).rounds(a_round(3, a_pod(0), a_pod(1)))
    assert kinds(now) == ["EmptyStore"]
    assert kinds(told(now).store(settings=None)) == []


@pytest.mark.parametrize(
    ("policy", "gone"),
    [
        ("Running", ["digits-2-0"]),
        ("All", ["digits-0-0", "digits-1-0", "digits-2-0"]),
        ("None", []),
    ],
)
def test_which_pods_are_deleted_when_the_job_is_over(policy, gone):
    now = finished(late=[a_pod(2)]).wants(run_policy=run_policy.RunPolicy(clean_pod_policy=policy))
    assert deleted(told(now).later(closing.CLOSING_GRACE_S)) == gone


def test_sidecars_do_not_outlive_a_job_that_is_over():
    pods = [outlived(ended(a_pod(0), 0)), ended(a_pod(1), 0)]
    now = seen().pods(*pods).rounds(a_round(3, a_pod(0), a_pod(1)))
    assert planned(now).after_s == closing.CLOSING_GRACE_S
    assert deleted(told(now).later(closing.CLOSING_GRACE_S)) == ["digits-0-0"]


# --- failing -----------------------------------------------------------------------------------


def test_a_command_that_does_not_exist_fails_the_job_at_once():
    message = 'exec: "torchrunn": executable file not found in $PATH'
    broken = ended(a_pod(0), 128, reason="StartError", message=message)
    over = planned(seen().pods(broken, pending(a_pod(1)))).over
    assert (over.condition, over.reason) == ("Failed", "StartError")
    assert over.message == f"pod digits-0-0 cannot start: {message}"


def test_failures_beyond_max_restarts_fail_the_job():
    status = api.ElasticJobStatus(restarts=api.Restarts(pod=3, counted=3))
    now = seen().told(status).pods(a_pod(0), ended(a_pod(1), 1, message="CUDA error"))
    over = planned(now).over
    assert over.reason == "MaxRestartsExceeded"
    assert "failed 4 times, maxRestarts is 3" in over.message
    assert "pod digits-1-0 failed with exit code 1: CUDA error" in over.message


@pytest.mark.parametrize("exit_code", [137, 143])
def test_what_the_infrastructure_took_never_fails_the_job(exit_code):
    status = api.ElasticJobStatus(restarts=api.Restarts(infrastructure=1000))
    now = seen(a_job(max_restarts=0)).told(status).pods(a_pod(0), ended(a_pod(1), exit_code))
    assert planned(now).over is None
    assert planned(now).facts.restarts.infrastructure == 1001


def test_a_failure_is_counted_once():
    now = seen().pods(a_pod(0), ended(a_pod(1), 1))
    assert planned(now).facts.restarts.pod == 1
    again = told(now)
    assert planned(again).facts.restarts.pod == 1
    assert planned(again.pods(a_pod(0), a_pod(1, 1))).facts.restarts.pod == 1, "its pod was removed"


def test_a_round_that_a_failed_worker_restarted_counts():
    before, after = a_round(1, a_pod(0), a_pod(1)), a_round(2, a_pod(0), a_pod(1), cause="restart")
    now = told(seen().pods(a_pod(0), a_pod(1)).rounds(before)).rounds(before, after)
    assert planned(now).facts.restarts.worker == 1
    assert planned(told(now)).facts.restarts.worker == 1


def test_a_round_that_restarted_because_a_peer_was_lost_does_not_count():
    """Peers of a lost worker fail within a second, and may be heard before the loss is."""
    before = a_round(1, a_pod(0), a_pod(1), a_pod(2))
    after = a_round(2, a_pod(0), a_pod(1), cause="restart")
    now = told(seen().pods(a_pod(0), a_pod(1)).rounds(before)).rounds(before, after)
    assert planned(now).facts.restarts.worker == 0


def test_a_peer_that_was_lost_is_known_in_a_round_too_large_to_be_listed():
    there = [a_pod(index) for index in range(300)]
    job = builders.a_job(replicas=300, at_least=1, at_most=300)
    before, after = a_round(1, *there), a_round(2, *there[:-1], cause="restart")
    now = told(seen(job).pods(*there).rounds(before)).rounds(before, after)
    assert planned(now).facts.restarts.worker == 0


def test_the_rank_of_a_failure_is_known_in_a_round_too_large_to_be_listed():
    there = [a_pod(index) for index in range(300)]
    job = builders.a_job(replicas=300, at_least=1, at_most=300)
    running = told(seen(job).pods(*there).rounds(a_round(1, *there)))
    failure = planned(running.pods(*there[:-1], ended(there[-1], 3))).facts.last_failure
    assert (failure.pod, failure.rank) == ("digits-299-0", 299)


def test_the_last_failure_is_kept_with_rank_and_exit_code():
    running = told(seen().pods(a_pod(0), a_pod(1)).rounds(a_round(1, a_pod(0), a_pod(1))))
    failure = planned(running.pods(a_pod(0), ended(a_pod(1), 3))).facts.last_failure
    assert (failure.pod, failure.rank, failure.exit_code) == ("digits-1-0", 1, 3)


def test_the_workers_of_a_failed_job_get_a_moment_to_end_so_that_their_logs_stay():
    now = seen(a_job(max_restarts=0)).pods(a_pod(0), ended(a_pod(1), 1))
    assert "Failed" in written(now)[0].closed
    assert deleted(now) == []
    assert planned(now).after_s == closing.CLOSING_GRACE_S
    assert deleted(told(now).later(closing.CLOSING_GRACE_S)) == ["digits-0-0"]


def test_the_words_of_a_worker_that_failed_in_a_pod_that_lives_on_are_kept():
    before = a_round(1, a_pod(0), a_pod(1))
    reason = "digits-1-0 restarted: its workers failed"
    after = a_round(2, a_pod(0), a_pod(1), cause="restart", reason=reason)
    now = told(seen(a_job(max_restarts=0)).pods(a_pod(0), a_pod(1)).rounds(before))
    now = now.rounds(before, after).said({"digits-1-0": "ValueError: the rate is -1"})
    failure = planned(now).facts.last_failure
    assert (failure.pod, failure.rank) == ("digits-1-0", 1)
    assert failure.message == f"{reason}: ValueError: the rate is -1"
    assert planned(now).over.message == (
        "training failed once, maxRestarts is 0 (1 round restarted by a worker, 0 pods failed); "
        f"last: {reason}: ValueError: the rate is -1"
    )


def test_of_several_that_failed_at_once_the_one_that_did_not_lose_a_peer_is_blamed():
    pods = (a_pod(0), a_pod(1))
    reason = "digits-0-0, digits-1-0 restarted: its workers failed"
    after = a_round(2, *pods, cause="restart", reason=reason)
    now = told(seen().pods(*pods).rounds(a_round(1, *pods))).rounds(a_round(1, *pods), after)
    now = now.said({"digits-0-0": "gloo: Connection closed by peer", "digits-1-0": "ValueError: x"})
    failure = planned(now).facts.last_failure
    assert (failure.pod, failure.message) == ("digits-1-0", f"{reason}: ValueError: x")


def test_which_process_failed_and_its_traceback_are_told():
    words = (
        "Worker of rank 3 (local rank 1) failed with exit code 1: ValueError: x\n"
        "  | Traceback (most recent call last):\n  | ValueError: x"
    )
    failure = planned(seen().pods(a_pod(0), ended(a_pod(1), 1, message=words))).facts.last_failure
    assert (failure.worker_rank, failure.local_rank, failure.exit_code) == (3, 1, 1)
    assert failure.message == "pod digits-1-0 failed with exit code 1: ValueError: x"
    assert failure.traceback == "Traceback (most recent call last):\nValueError: x"


def test_what_is_over_stays_over():
    failed = told(seen(a_job(max_restarts=0)).pods(a_pod(0), ended(a_pod(1), 1)))
    now = failed.wants(max_restarts=100, replicas=4)
    assert planned(now).over.reason == "MaxRestartsExceeded"
    assert created(now) == []
