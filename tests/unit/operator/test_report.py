"""What the status says, and the events that go with a change of it."""

import builders
import pytest
from builders import a_job, a_pod, a_round, ended, pending, seen, stuck, unschedulable

from elasticjob_operator import conditions, events, plan, report
from elasticjob_operator.pod_facts import Container
from elasticjob_operator.settings import Settings


def told(snapshot, outcome=None):
    decided = plan.plan(snapshot.observed, Settings())
    return report.status(decided, outcome or report.Outcome())


def happened(snapshot, outcome=None):
    decided, outcome = plan.plan(snapshot.observed, Settings()), outcome or report.Outcome()
    news = events.events(decided, outcome, report.status(decided, outcome))
    return [(event.reason, event.message) for event in news]


def reasons(snapshot, outcome=None):
    return [reason for reason, _ in happened(snapshot, outcome)]


def condition(status, kind):
    found = conditions.find(status.conditions, kind)
    assert found
    return found


def standing(*pods):
    return seen().pods(*pods).rounds(a_round(1, *pods)).members(*pods)


BOTH = (a_pod(0), a_pod(1))
FINISHED = (ended(a_pod(0), 0), ended(a_pod(1), 0))


# --- conditions --------------------------------------------------------------------------------


def test_a_transition_time_moves_only_with_the_status():
    first = told(standing(*BOTH))
    later = told(standing(*BOTH).told(first).later(60))
    assert later == first
    broken = told(standing(*BOTH).rounds(a_round(1, *BOTH), phase="broken").told(first).later(60))
    ready = condition(broken, "Ready")
    assert ready.last_transition_time == "2026-11-23T12:01:00Z"
    untouched = condition(broken, "RendezvousReady")
    assert untouched.last_transition_time == "2026-11-23T12:00:00Z"


# --- sentences ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (
            seen().pods(a_pod(0), stuck(a_pod(1), "ImagePullBackOff", 'no such image "trainer:1"')),
            (
                "pod digits-1-0 cannot pull the image 'trainer:1': ImagePullBackOff:"
                ' no such image "trainer:1"'
            ),
        ),
        (
            seen().pods(a_pod(0), unschedulable(a_pod(1))),
            (
                "1 of 2 pods find no node, at least 2 must run:"
                " 0/2 nodes are available: insufficient cpu."
            ),
        ),
        (seen().pods(a_pod(0), pending(a_pod(1))), "1 of 2 pods run; at least 2 must"),
        (
            seen().pods(a_pod(0), pending(a_pod(1))).later(30),
            (
                "1 of 2 pods run; at least 2 must; pod digits-1-0 does not run after 90 s:"
                " `kubectl describe pod digits-1-0` tells why"
            ),
        ),
        (
            standing(*BOTH).pods(*BOTH, pending(a_pod(2)), pending(a_pod(3))).later(30),
            (
                "round 1: 2 workers, formed in 0.2 s; because all joined; 2 pods, among them"
                " digits-2-0, do not run after 90 s: `kubectl describe pod digits-2-0` tells why"
            ),
        ),
        (
            seen().silent_store("connection refused"),
            "the rendezvous store is starting (connection refused)",
        ),
        (
            seen()
            .silent_store()
            .store_pods(
                builders.a_store_pod(
                    ready=False,
                    trouble=builders.Trouble("etcd", "etcd:9", "ErrImagePull", "not found"),
                )
            ),
            (
                "the rendezvous store's pod digits-rdzv-0 cannot pull the image 'etcd:9':"
                " ErrImagePull: not found"
            ),
        ),
        (
            standing(*BOTH),
            "round 1: 2 workers, formed in 0.2 s; because all joined",
        ),
    ],
)
def test_the_condition_says_in_a_sentence_what_is_waited_for(snapshot, words):
    assert condition(told(snapshot), "Progressing").message == words


def test_a_pod_that_the_api_server_refuses_is_told_in_its_own_words():
    words = 'pods "digits-0-0" is forbidden: exceeded quota: gpus'
    status = told(seen(), report.Outcome(refusal=words))
    progressing = condition(status, "Progressing")
    assert (progressing.status, progressing.reason) == ("False", "ObjectRefused")
    assert progressing.message == words


def test_training_goes_on_while_the_store_is_away_and_nobody_says_otherwise():
    before = told(standing(*BOTH))
    away = told(seen().pods(*BOTH).silent_store("connection refused").told(before))
    assert away.phase == "Running"
    assert condition(away, "RendezvousReady").status == "False"
    assert condition(away, "Ready").status == "Unknown"
    assert "round 1 goes on without it" in condition(away, "Ready").message


def test_what_is_told_of_a_job_that_is_over_stays_when_its_store_is_gone():
    pods = (*FINISHED, a_pod(2))
    over = told(seen().pods(*pods).rounds(a_round(1, *FINISHED)))
    assert (over.rendezvous.state, over.ready) == ("Closed", 0)
    later = seen().silent_store().store_pods().pods(*pods).told(over).later(5)
    assert told(later) == over


# --- numbers -----------------------------------------------------------------------------------


def test_the_round_is_told_with_its_members_by_rank():
    status = told(standing(a_pod(1), a_pod(0)))
    members = [(m.pod, m.node, m.rank) for m in status.rendezvous.members]
    assert members == [("digits-1-0", "node-1", 0), ("digits-0-0", "node-0", 1)]
    assert status.rendezvous.round == 1
    record = status.rendezvous.history[0]
    assert (record.cause, record.seconds) == ("start", 0.25)
    assert record.members == ("digits-1-0", "digits-0-0")
    assert record.formed_at == "2026-11-23T12:00:00.000Z"


@pytest.mark.parametrize("size", [2, 300])
@pytest.mark.parametrize("spares", [0, 1])
@pytest.mark.parametrize("forgotten", [False, True])
def test_who_waits_is_told_also_beside_a_round_too_large_to_be_listed(size, spares, forgotten):
    there = [a_pod(index) for index in range(size + spares)]
    job = a_job(replicas=size + spares, at_least=1, at_most=400)
    snapshot = seen(job).pods(*there).members(*there).rounds(a_round(1, *there[:size]))
    snapshot = snapshot.told(told(snapshot))
    if forgotten:  # by an operator that was restarted, and a store that was emptied
        snapshot = snapshot.store(formed=())
    assert told(snapshot).rendezvous.waiting == spares


@pytest.mark.parametrize(
    ("nproc", "limits", "world_size"),
    [
        (1, {}, 2),
        (4, {}, 8),
        ("4", {}, 8),
        ("auto", {}, None),
        ("auto", {"nvidia.com/gpu": 8}, 16),
        ("cpu", {"nvidia.com/gpu": 8}, None),
    ],
)
def test_the_world_size_is_told_where_it_does_not_depend_on_the_machine(nproc, limits, world_size):
    container = {"name": "trainer", "image": "t", "resources": {"limits": limits}}
    job = a_job(nproc_per_node=nproc, template={"spec": {"containers": [container]}})
    status = told(seen(job).pods(*BOTH).rounds(a_round(1, *BOTH)))
    assert status.rendezvous.world_size == world_size


def test_only_the_last_twenty_rounds_are_kept():
    rounds = [a_round(number, *BOTH) for number in range(1, 31)]
    history = told(seen().pods(*BOTH).rounds(*rounds)).rendezvous.history
    assert [record.round for record in history] == list(range(11, 31))


def test_the_status_of_a_job_of_four_thousand_pods_stays_below_64_kib():
    pods = [a_pod(index, job="x" * 47) for index in range(4000)]
    rounds = [a_round(number, *pods) for number in range(1, 25)]
    job = a_job(name="x" * 47, replicas=4000, at_most=4000)
    status = told(seen(job).pods(*pods).rounds(*rounds))
    text = status.model_dump_json(by_alias=True, exclude_none=True)
    assert len(text) < 64 * 1024
    assert (status.rendezvous.workers, status.ready) == (4000, 4000)


def test_pods_are_counted_by_what_they_do():
    pods = (a_pod(0), pending(a_pod(1)), ended(a_pod(2), 0), builders.deleting(a_pod(3)))
    status = told(seen(a_job(replicas=4)).pods(*pods))
    assert (status.replicas, status.active, status.succeeded) == (2, 2, 1)


def test_pods_that_were_made_just_now_are_counted_and_entered_in_the_book():
    made = (report.Created("digits-0-0", 0, 0), report.Created("digits-1-0", 1, 0))
    status = told(seen(), report.Outcome(created=made))
    assert status.replicas == 2
    assert status.attempts.created == (1, 1)


# --- events ------------------------------------------------------------------------------------


def test_the_events_of_a_start():
    made = report.Outcome(created=(report.Created("digits-0-0", 0, 0),))
    assert happened(seen(), made) == [
        ("RendezvousReady", "the rendezvous store at etcds://digits-rdzv.ml.svc:2379 answers"),
        ("WorkersCreated", "made digits-0-0"),
    ]


def test_a_lost_worker_its_replacement_and_the_new_round_are_told():
    running = standing(*BOTH)
    killed = ended(a_pod(1), 137)
    now = running.pods(a_pod(0), killed).told(told(running))
    made = report.Outcome(created=(report.Created("digits-1-1", 1, 1),))
    assert happened(now, made) == [
        ("WorkerLost", "pod digits-1-0 was killed (exit code 137)"),
        ("WorkersReplaced", "made digits-1-1 in place of earlier ones"),
    ]
    after = now.pods(a_pod(0), killed, a_pod(1, 1)).told(told(now, made))
    after = after.rounds(a_round(1, *BOTH), a_round(2, a_pod(0), a_pod(1, 1), cause="lost"))
    assert reasons(after) == ["RoundFormed"]


def test_nothing_happens_twice():
    for snapshot in (seen().silent_store(), standing(*BOTH), standing(*FINISHED)):
        assert happened(snapshot.told(told(snapshot))) == []


def test_a_blocked_job_warns_once_per_reason():
    stuck_pod = stuck(a_pod(1), "ErrImagePull", "not found")
    now = seen().pods(a_pod(0), stuck_pod)
    assert "ImagePullFailed" in reasons(now)
    backing_off = stuck(a_pod(1), "ImagePullBackOff", "back-off")
    assert reasons(now.pods(a_pod(0), backing_off).told(told(now))) == []


def test_the_end_is_told():
    running = told(standing(*BOTH))
    complete = standing(*FINISHED).told(running)
    assert happened(complete) == [
        ("JobComplete", "all 2 workers of round 1 ended with success"),
    ]
    failed = seen(a_job(max_restarts=0)).pods(a_pod(0), ended(a_pod(1), 1)).told(running)
    assert reasons(failed) == ["WorkerFailed", "JobFailed"]


def test_long_lists_of_pods_are_cut():
    made = tuple(report.Created(f"digits-{i}-0", i, 0) for i in range(6))
    assert (
        "WorkersCreated",
        "made digits-0-0, digits-1-0, digits-2-0, digits-3-0 and 2 more",
    ) in happened(seen(), report.Outcome(created=made))


def test_an_event_says_who_it_is_from_and_about():
    event = events.Event("Normal", "RoundFormed", "round 1")
    body = events.manifest(event, a_job(), builders.NOW, "abc")
    assert body["metadata"] == {"name": "digits.abc", "namespace": "ml"}
    assert body["source"] == {"component": "elasticjob-operator"}
    assert body["involvedObject"]["uid"] == builders.JOB_UID


def test_a_container_that_waits_to_be_created_is_no_trouble():
    starting = pending(a_pod(1))
    starting = builders.replace(starting, training=Container(reason="ContainerCreating"))
    assert condition(told(seen().pods(a_pod(0), starting)), "Progressing").status == "True"


@pytest.mark.parametrize(("seconds", "words"), [(0.005, "5 ms"), (0.26, "0.3 s"), (12.0, "12.0 s")])
def test_how_long_a_round_took_to_form_is_told(seconds, words):
    formed = a_round(1, a_pod(0), a_pod(1))
    formed = builders.replace(formed, record=builders.replace(formed.record, seconds=seconds))
    status = told(seen().pods(*BOTH).rounds(formed))
    assert f"formed in {words};" in condition(status, "Ready").message
