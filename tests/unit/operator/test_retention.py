"""How many of the pods that failed are kept for their logs."""

from datetime import timedelta

import builders
from builders import a_job, a_pod, ended, outlived, seen
from decisions import created, deleted, planned, told

from elasticjob_operator import actions, run_policy


def kept(limit, *pods, **spec):
    """A job that keeps so many failed pods, and is told of these."""
    policy = run_policy.RunPolicy(failed_pods_history_limit=limit, **spec)
    return told(seen(a_job(run_policy=policy, max_restarts=99, at_most=9)).pods(*pods))


def failed(index, attempt=0, *, ago_s=60):
    return ended(a_pod(index, attempt), 1, finished_at=builders.NOW - timedelta(seconds=ago_s))


def replaced(count):
    """So many indices whose first pod failed, the lowest one last, and whose second runs."""
    running = [a_pod(index, 1) for index in range(count)]
    return [*(failed(index, ago_s=100 + index) for index in range(count)), *running]


def test_beyond_the_limit_the_oldest_go():
    assert deleted(kept(2, *replaced(4)).wants(replicas=4)) == ["digits-2-0", "digits-3-0"]


def test_none_need_be_kept():
    assert deleted(kept(0, *replaced(2))) == ["digits-0-0", "digits-1-0"]


def test_the_reason_has_the_number():
    steps = planned(kept(1, *replaced(2))).actions
    reasons = [step.reason for step in steps if isinstance(step, actions.DeletePod)]
    assert reasons == ["runPolicy.failedPodsHistoryLimit keeps 1 failed pod, the newest"]


def test_a_pod_goes_only_when_the_status_knows_how_it_ended():
    """Else an operator that is killed before it has said so would count a pod that vanished."""
    job = a_job(run_policy=run_policy.RunPolicy(failed_pods_history_limit=0), max_restarts=99)
    now = seen(job).pods(*replaced(2))
    assert deleted(now) == []
    assert deleted(told(now)) == ["digits-0-0", "digits-1-0"]


def test_a_pod_stays_as_long_as_its_replacement_waits_for_its_back_off():
    backoff = run_policy.Backoff(initial_seconds=100, max_seconds=100)
    now = kept(0, a_pod(0), failed(1, ago_s=40), backoff=backoff)
    assert (deleted(now), created(now), planned(now).after_s) == ([], [], 60)
    due = now.later(60)
    assert (deleted(due), created(due)) == (["digits-1-0"], ["digits-1-1"])


def test_a_failed_pod_with_sidecars_that_still_run_is_one_of_them():
    first, *others = replaced(2)
    now = kept(1, outlived(first), *others)
    assert sorted(deleted(now)) == ["digits-0-0", "digits-1-0"]
    assert deleted(kept(0, outlived(first), *others)).count("digits-0-0") == 1
