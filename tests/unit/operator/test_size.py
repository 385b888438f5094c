"""How many workers there are: by whole steps, and with spares that stand by."""

import pytest
from builders import a_job, a_pod, a_round, deleting, pending, seen
from decisions import created, deleted, drained, kinds, planned, told, written

from elasticjob_operator import conditions
from elasticjob_operator.policies import size

PODS = tuple(a_pod(index) for index in range(6))


def running(job, members, *idle):
    """A job whose round 1 has these members, by rank; the idle pods run beside it."""
    pods = (*members, *idle)
    now = seen(job).pods(*pods).members(*(pod for pod in pods if pod.running))
    return told(now.rounds(a_round(1, *members)))


def in_steps(replicas, step=2, **more):
    return a_job(replicas=replicas, at_least=2, at_most=6, replica_step=step, **more)


def with_spares(replicas=2, spares=1, **more):
    return a_job(replicas=replicas, at_least=1, at_most=4, spare_replicas=spares, **more)


def is_told(snapshot):
    """The words of Progressing."""
    status = told(snapshot).observed.status
    return conditions.find(status.conditions, conditions.PROGRESSING).message


def counted(snapshot):
    """What kubectl prints: replicas, spares and the workers in the round."""
    status = told(snapshot).observed.status
    return status.replicas, status.spares, status.ready_of_wanted


# --- steps -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "least", "step", "workers"),
    [(2, 2, 2, 2), (3, 2, 2, 2), (4, 2, 2, 4), (5, 2, 1, 5), (7, 4, 4, 4), (8, 4, 4, 8)],
)
def test_as_many_workers_as_whole_steps_are_in_the_replicas(replicas, least, step, workers):
    spec = a_job(replicas=replicas, at_least=least, at_most=8, replica_step=step).spec
    assert size.workers(spec) == workers


def test_the_multiple_below_is_made_and_the_store_knows_the_step():
    fresh = seen(in_steps(5)).store(settings=None)
    assert created(fresh) == [f"digits-{index}-0" for index in range(4)]
    assert (written(fresh)[0].step, written(fresh)[0].max_nodes) == (2, 6)
    assert written(fresh)[0].expected_nodes == 4


def test_a_number_that_is_no_multiple_is_told_and_not_waited_for():
    now = running(in_steps(5), PODS[:4])
    assert counted(now) == (4, 0, "4/4")
    assert is_told(now).endswith("; replicas is 5, of which replicaStep 2 leaves 4")
    assert kinds(now.store(settings=written(now)[0])) == ["Provision"]
    assert "replicaStep" not in is_told(now.wants(replicas=4))


def test_a_scale_in_by_one_takes_a_whole_step():
    now = running(in_steps(3), PODS[:4])
    assert sorted(drained(now)) == [PODS[2].uid, PODS[3].uid]
    step = next(s for s in planned(now).actions if type(s).__name__ == "Drain")
    assert step.reason == "scaled in to 2 replicas"


def test_a_step_that_is_changed_takes_out_who_is_too_many():
    now = running(a_job(replicas=3, at_least=2, at_most=4), PODS[:3])
    assert drained(now) == []
    assert drained(now.wants(replica_step=2)) == [PODS[2].uid]


# --- spares ------------------------------------------------------------------------------------


def test_spares_are_made_beside_the_replicas_and_no_round_has_room_for_them():
    fresh = seen(with_spares()).store(settings=None)
    assert created(fresh) == ["digits-0-0", "digits-1-0", "digits-2-0"]
    assert (written(fresh)[0].max_nodes, written(fresh)[0].expected_nodes) == (2, 2)


def test_spares_are_counted_apart():
    now = running(with_spares(), PODS[:2], PODS[2])
    assert counted(now) == (2, 1, "2/2")
    assert is_told(now).endswith("; 1 of 1 spares stand by")
    assert counted(running(with_spares(spares=2), PODS[:2], pending(PODS[2]))) == (2, 1, "2/2")


def test_a_spare_that_has_joined_the_round_is_a_worker_and_another_one_is_made():
    lost = running(with_spares(), PODS[:2], PODS[2]).pods(PODS[0], deleting(PODS[1]), PODS[2])
    assert created(lost) == ["digits-1-1"]
    assert counted(lost) == (2, 0, "1/2")
    again = lost.rounds(a_round(2, PODS[0], PODS[2], cause="lost")).pods(PODS[0], PODS[2])
    assert counted(again.members(PODS[0], PODS[2])) == (2, 0, "2/2")


def test_the_spares_own_loss_disturbs_nobody():
    lost = running(with_spares(), PODS[:2], PODS[2]).pods(*PODS[:2], deleting(PODS[2]))
    assert created(lost) == ["digits-2-1"]
    assert counted(lost) == (2, 0, "2/2")
    assert is_told(lost.members(*PODS[:2])).endswith("; 0 of 1 spares stand by")


def test_a_scale_out_lets_the_spare_in_and_makes_another_one():
    now = running(with_spares(replicas=3), PODS[:2], PODS[2])
    assert created(now) == ["digits-3-0"]
    assert (written(now)[0].max_nodes, written(now)[0].expected_nodes) == (3, 3)


@pytest.mark.parametrize(
    ("job", "idle", "gone"),
    [
        (with_spares(4, 0), [4], [4]),
        (with_spares(4, 1), [4, 5], [5]),
        (with_spares(3, 1), [4], [3]),
        (with_spares(3, 0), [4], [3, 4]),
        (with_spares(2, 1), [4, 5], [2, 3, 5]),
        (with_spares(3, 2), [4], [3]),
    ],
    ids=[
        "no spares any more",
        "one spare less",
        "one replica less, and its spare stays",
        "a replica and the spare",
        "two replicas and one spare",
        "one replica becomes a spare",
    ],
)
def test_scaled_in_the_round_has_as_many_as_are_wanted_and_spares_are_left(job, idle, gone):
    now = running(job, PODS[:4], *(PODS[index] for index in idle))
    assert sorted(drained(now)) == sorted(PODS[index].uid for index in gone)
    assert deleted(now) == []


def test_a_spare_that_does_not_run_yet_goes_before_one_that_does():
    now = running(with_spares(2, 1), PODS[:2], PODS[2], pending(PODS[3]))
    assert (deleted(now), drained(now)) == (["digits-3-0"], [])


def test_there_may_be_as_many_pods_as_the_most_and_the_spares():
    now = running(with_spares(4, 2), PODS[:4])
    assert created(now) == ["digits-4-0", "digits-5-0"]
