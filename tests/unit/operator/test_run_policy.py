"""The run policy: suspending and resuming, the deadline, how long a job is kept, and back-off."""

from datetime import timedelta

import builders
import pytest
from builders import a_job, a_pod, a_round, deleting, ended, seen, settings
from decisions import created, deleted, kinds, news, planned, told, written

from elasticjob_operator import actions, api, closing, conditions, report, run_policy

SUSPENDED = run_policy.RunPolicy(suspend=True)
RUNS = run_policy.RunPolicy()
BOTH = (a_pod(0), a_pod(1))


def running():
    """A job whose round 3 stands and is told."""
    return told(seen(a_job(nproc_per_node=1)).pods(*BOTH).members(*BOTH).rounds(a_round(3, *BOTH)))


def suspended():
    """The same, suspended: its pods are deleting, which is told."""
    stopping = running().wants(run_policy=SUSPENDED)
    return told(stopping.pods(*map(deleting, BOTH)))


def status(snapshot):
    return told(snapshot).observed.status


def condition(snapshot, kind):
    return conditions.find(status(snapshot).conditions, kind)


# --- suspending --------------------------------------------------------------------------------


def test_a_job_that_is_created_suspended_creates_nothing():
    new = seen(a_job(run_policy=SUSPENDED)).silent_store().store_pods()
    assert kinds(new) == []
    assert planned(new).after_s is None
    assert status(new).phase == "Suspended"
    assert status(new).start_time is None


def test_suspending_deletes_the_pods_and_gives_them_their_grace():
    now = running().wants(run_policy=SUSPENDED)
    assert kinds(now) == ["FollowStore", "DeletePod", "DeletePod"]
    assert deleted(now) == ["digits-0-0", "digits-1-0"]


def test_the_store_goes_when_the_last_pod_is_gone():
    assert kinds(suspended()) == ["FollowStore"]
    assert kinds(suspended().pods()) == ["RemoveStore"]
    assert kinds(suspended().pods().store_pods()) == []


def test_an_external_store_is_emptied_when_the_last_pod_is_gone():
    job = a_job(run_policy=SUSPENDED, rendezvous={"etcd": {"endpoints": ["http://etcd:2379"]}})
    assert kinds(seen(job)) == ["EmptyStore"]
    assert kinds(seen(job).store(settings=None)) == []


def test_pods_that_failed_stay_for_their_logs():
    now = running().wants(run_policy=SUSPENDED).pods(a_pod(0), ended(a_pod(1), 1))
    assert deleted(now) == ["digits-0-0"]


@pytest.mark.parametrize("code", [0, 1, 143])
def test_however_a_pod_ends_that_was_told_to_stop_it_is_no_failure_and_no_success(code):
    stopped = [deleting(ended(pod, code)) for pod in BOTH]
    now = suspended().pods(*stopped)
    assert planned(now).over is None
    assert status(now).restarts == api.Restarts()
    resumed = told(now).wants(run_policy=RUNS).pods()
    assert status(resumed).restarts == api.Restarts()
    assert news(resumed)[0][0] != "WorkerLost"


def test_pods_that_the_watch_forgets_after_the_job_was_resumed_are_no_failure():
    stopping = running().wants(run_policy=SUSPENDED)
    outcome = report.Outcome(deleted=tuple(report.Deleted(pod.name, "") for pod in BOTH))
    after = stopping.told(report.status(planned(stopping), outcome)).wants(run_policy=RUNS)
    assert status(after.pods()).restarts == api.Restarts()


def test_a_job_whose_workers_had_all_finished_before_is_complete():
    finished = running().wants(run_policy=SUSPENDED).pods(*(ended(pod, 0) for pod in BOTH))
    assert planned(finished).over.condition == "Complete"


def test_a_job_that_is_over_is_not_suspended():
    over = told(running().pods(*(ended(pod, 0) for pod in BOTH))).wants(run_policy=SUSPENDED)
    assert status(over).phase == "Complete"
    assert condition(over, "Suspended").status == "False"


def test_the_status_says_that_it_is_suspended_and_how_many_pods_still_end():
    now = suspended()
    told_now = status(now)
    assert (told_now.phase, told_now.ready, told_now.rendezvous.state) == (
        "Suspended",
        0,
        "Waiting",
    )
    for kind, holds in (("Suspended", "True"), ("Ready", "False"), ("Progressing", "False")):
        found = condition(now, kind)
        assert (found.status, found.reason) == (holds, "JobSuspended")
    assert condition(now, "Suspended").message == "the job is suspended; 2 pods still ending"
    assert condition(now.pods(), "Suspended").message == "the job is suspended; no pod is left"


def test_a_suspended_job_has_a_last_round_and_no_world():
    world_sizes = [status(now).rendezvous.world_size for now in (running(), suspended())]
    assert world_sizes == [2, None]
    assert status(suspended()).rendezvous.round == 3


# --- resuming ----------------------------------------------------------------------------------


def test_a_resumed_job_goes_on_with_the_next_round_under_the_same_run():
    resumed = suspended().wants(run_policy=RUNS).pods()
    resumed = resumed.store(settings=None, members=(), round=None, formed=())
    assert kinds(resumed) == ["Provision", "WriteSettings", "CreatePod", "CreatePod"]
    assert created(resumed) == ["digits-0-1", "digits-1-1"]
    assert written(resumed) == [settings(expected=2, round_floor=3, scheduling=True)]
    assert status(resumed).rendezvous.run_id == builders.RUN_ID


def test_a_resumed_job_does_not_wait_for_its_old_pods_to_end():
    resumed = suspended().wants(run_policy=RUNS)
    assert created(resumed) == ["digits-0-1", "digits-1-1"]


def test_suspending_and_resuming_are_told_once_each():
    stopping = running().wants(run_policy=SUSPENDED)
    assert [reason for reason, _ in news(stopping)] == ["JobSuspended"]
    assert news(suspended()) == []
    resumed = suspended().wants(run_policy=RUNS).later(60)
    assert [reason for reason, _ in news(resumed)] == ["RendezvousReady", "JobResumed"]
    assert condition(resumed, "Suspended").reason == "JobResumed"
    assert condition(told(resumed), "Suspended").reason == "JobResumed"


def test_the_start_is_when_the_job_was_last_resumed():
    assert status(suspended()).start_time == "2026-11-23T12:00:00Z"
    resumed = suspended().later(60).wants(run_policy=RUNS)
    assert status(resumed).start_time == "2026-11-23T12:01:00Z"
    assert status(told(resumed).later(60)).start_time == "2026-11-23T12:01:00Z"


# --- the deadline ------------------------------------------------------------------------------


def limited(seconds):
    return running().wants(run_policy=run_policy.RunPolicy(active_deadline_seconds=seconds))


def test_a_job_beyond_its_deadline_is_failed():
    assert planned(limited(100).later(99)).over is None
    assert planned(limited(100).later(99)).after_s == 1
    over = planned(limited(100).later(100)).over
    assert (over.condition, over.reason) == ("Failed", "DeadlineExceeded")
    assert over.message == ("the job was not over after 100 s, its runPolicy.activeDeadlineSeconds")


def test_a_job_that_finished_by_its_deadline_is_complete():
    finished = limited(100).later(100).pods(*(ended(pod, 0) for pod in BOTH))
    assert planned(finished).over.condition == "Complete"


def test_being_suspended_does_not_count_towards_the_deadline():
    asleep = run_policy.RunPolicy(active_deadline_seconds=100, suspend=True)
    now = suspended().wants(run_policy=asleep).later(1000)
    assert planned(now).over is None
    resumed = told(now).wants(run_policy=run_policy.RunPolicy(active_deadline_seconds=100))
    assert planned(resumed).over is None
    assert planned(told(resumed).later(99)).over is None
    assert planned(told(resumed).later(100)).over.reason == "DeadlineExceeded"


# --- how long a job is kept --------------------------------------------------------------------


def kept(seconds, *, pods=None):
    policy = run_policy.RunPolicy(ttl_seconds_after_finished=seconds)
    pods = pods or [ended(pod, 0) for pod in BOTH]
    return running().wants(run_policy=policy).pods(*pods).store_pods()


def test_a_job_is_deleted_when_it_was_kept_long_enough():
    assert kinds(told(kept(60)).later(59)) == []
    assert planned(told(kept(60)).later(59)).after_s == 1
    assert kinds(told(kept(60)).later(60)) == ["DeleteJob"]


def test_a_job_is_never_deleted_before_its_end_is_told():
    assert kinds(kept(0)) == []
    assert kinds(told(kept(0))) == ["DeleteJob"]


def test_its_pods_get_their_moment_to_end_before_it_is_deleted():
    late = told(kept(0, pods=[*(ended(pod, 0) for pod in BOTH), a_pod(2)]))
    assert "DeleteJob" not in kinds(late)
    assert kinds(late.later(closing.CLOSING_GRACE_S))[-1] == "DeleteJob"


def test_without_a_limit_it_is_kept():
    assert planned(told(running().pods(*(ended(pod, 0) for pod in BOTH)))).after_s is None


# --- back-off ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("failures", "delay_s"), [(1, 5), (2, 10), (3, 20), (9, 60)])
def test_how_long_a_failed_pods_replacement_waits_can_be_chosen(failures, delay_s):
    policy = run_policy.RunPolicy(backoff=run_policy.Backoff(initial_seconds=5, max_seconds=60))
    before = api.ElasticJobStatus(restarts=api.Restarts(pod=failures - 1))
    failed = ended(a_pod(1), 1, finished_at=builders.NOW)
    now = seen(a_job(max_restarts=99, run_policy=policy)).told(before).pods(a_pod(0), failed)
    assert planned(now).after_s == delay_s


@pytest.mark.parametrize("reason", ["OOMKilled", "Error"])
def test_a_pod_that_is_killed_where_it_runs_would_be_again(reason):
    """Nothing of it counts against maxRestarts, so nothing else would slow it down."""
    killed = [ended(a_pod(1, n), 137, reason=reason, finished_at=builders.NOW) for n in range(4)]
    waits = [planned(seen().pods(a_pod(0), pod)).after_s for pod in killed]
    assert waits == [1, 2, 4, 8]


@pytest.mark.parametrize(
    "taken",
    [
        deleting(a_pod(1, 3)),
        builders.replace(ended(a_pod(1, 3), 137), disruption="EvictionByEvictionAPI"),
    ],
    ids=["deleted", "evicted"],
)
def test_what_was_taken_away_is_replaced_at_once(taken):
    assert created(seen().pods(a_pod(0), taken)) == ["digits-1-4"]


def test_after_ten_minutes_of_training_the_waits_begin_anew():
    before = api.ElasticJobStatus(restarts=api.Restarts(pod=9))
    failed = ended(a_pod(1), 1, finished_at=builders.NOW)
    began = builders.NOW - timedelta(seconds=600)
    failed = builders.replace(failed, training=builders.replace(failed.training, started_at=began))
    assert planned(seen(a_job(max_restarts=99)).told(before).pods(a_pod(0), failed)).after_s == 1


def test_every_action_of_a_job_at_rest_is_known():
    """What would follow the store again and again would never let go of it."""
    assert planned(suspended().pods().store_pods()).at_rest
    assert not planned(suspended()).at_rest
    assert planned(told(kept(60))).at_rest
    assert not planned(running()).at_rest
    assert isinstance(planned(told(kept(0))).actions[-1], actions.DeleteJob)
