"""Training progress in the status, and what is done about training that stands still."""

from dataclasses import replace

import pytest
from builders import a_job, a_pod, a_round, seen
from decisions import SETTINGS, news, planned, told, written

from elasticjob_operator import pods, report
from elasticjob_operator.failure_policy import FailurePolicy, FailureRule
from rdzv_client import progress as scripts

BOTH = (a_pod(0), a_pod(1))
LIMIT_S = 600
WORDS = "no step for 600 s in round 1; the last was step 7, told by rank 0"


def standing(**policy):
    """Round 1 stands, and a step of it may take ten minutes."""
    policy = {"progress_deadline_seconds": LIMIT_S, **policy}
    job = a_job(failure_policy=FailurePolicy(**policy))
    return seen(job).pods(*BOTH).members(*BOTH).rounds(a_round(1, *BOTH))


def shown(snapshot):
    return report.status(planned(snapshot), report.Outcome()).progress


def ended(snapshot):
    """Return the rounds that the workers are told to end, and why."""
    return [(s.stalled_round, s.stalled_reason) for s in written(snapshot) if s.stalled_round]


def asked(snapshot):
    """Return the snapshot with what the operator has written."""
    return snapshot.store(settings=written(snapshot)[-1])


def restarted(snapshot, *pods, reason=WORDS):
    """The workers did as they were told, and form the next round."""
    again = a_round(2, *pods, cause="stalled", reason=reason)
    return snapshot.rounds(*snapshot.observed.store.formed, again).store(progress=())


# --- status ------------------------------------------------------------------------------------


def test_nothing_is_shown_of_a_script_that_says_nothing():
    assert shown(standing()) is None


def test_the_worker_of_the_least_rank_speaks_for_all():
    both = standing().steps(9, a_pod(1))
    assert (shown(both).step, shown(both).rank, shown(both).pod) == (9, 1, "digits-1-0")
    more = {"epoch": 1.5, "metrics": {"loss": "0.2"}, "steps_per_second": 2.5}
    both = both.steps(7, a_pod(0), ago_s=3, **more)
    assert shown(both).model_dump(by_alias=True) == {
        "step": 7,
        "epoch": 1.5,
        "metrics": {"loss": "0.2"},
        "stepsPerSecond": 2.5,
        "rank": 0,
        "pod": "digits-0-0",
        "round": 1,
        "reportedAt": "2026-11-23T11:59:57Z",
        "stepSeconds": None,
        "stragglers": (),
    }


def test_who_is_not_in_the_round_is_not_heard():
    assert shown(standing().steps(9, a_pod(2))) is None


def test_what_was_shown_stays_until_there_is_news():
    before = told(standing().steps(7, a_pod(0)))
    for later in (restarted(before, *BOTH), before.silent_store(), before.store(progress=())):
        assert shown(later).step == 7
    assert shown(restarted(before, *BOTH).steps(2, a_pod(0))).step == 2


# --- stragglers ----------------------------------------------------------------------------------


def paced(**step_s):
    """Four workers, each with what a step takes it by itself."""
    four = tuple(map(a_pod, range(4)))
    snapshot = seen(a_job(replicas=4)).pods(*four).members(*four).rounds(a_round(1, *four))
    for pod in four:
        snapshot = snapshot.steps(7, pod, step_s=step_s.get(f"of_{pod.index}", 0.4))
    return snapshot


@pytest.mark.parametrize(
    ("snapshot", "ranks"),
    [
        (paced(), []),
        (paced(of_2=0.59), []),
        (paced(of_2=0.61), [2]),
        (paced(of_2=0.9, of_3=4.0), [2, 3]),
        (paced(of_0=0.1), []),
        (paced(of_0=0.0, of_1=0.0, of_2=0.0, of_3=0.0), []),
        (paced(of_0=None, of_1=None, of_2=None, of_3=9.0), []),
    ],
)
def test_who_takes_much_longer_for_a_step_than_the_others_is_named(snapshot, ranks):
    assert [one.rank for one in shown(snapshot).stragglers] == ranks


def test_a_straggler_is_told_once_and_again_when_it_is_another():
    slow = paced(of_2=0.9)
    words = (
        "the worker of rank 2 (pod digits-2-0 on node node-0) takes 0.9 s for a step,"
        " the median is 0.4 s"
    )
    assert ("WorkerStraggles", words) in news(slow)
    assert news(told(slow).steps(8, a_pod(2), step_s=1.2)) == []
    assert news(told(slow).steps(8, a_pod(2), step_s=0.4)) == []
    two = told(paced()).steps(8, a_pod(1), step_s=0.8).steps(8, a_pod(3), step_s=2.0)
    words = (
        "the worker of rank 3 (pod digits-3-0 on node node-1) takes 2 s for a step,"
        " the median is 0.4 s; 1 more is slow"
    )
    assert news(two) == [("WorkerStraggles", words)]


# --- standing still ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (standing().steps(7, a_pod(0), ago_s=599), None),
        (standing().steps(7, a_pod(0), ago_s=600), WORDS),
        (standing().steps(7, a_pod(0), ago_s=900).steps(6, a_pod(1), ago_s=1), None),
        (standing().steps(7, a_pod(0), ago_s=900).steps(6, a_pod(1), ago_s=600), WORDS),
        (standing(progress_deadline_seconds=None).steps(7, a_pod(0), ago_s=9999), None),
        (standing().later(9999), None),  # nobody ever told of a step
        (told(standing().steps(7, a_pod(0))).store(progress=()).later(1799), None),
        (
            told(standing().steps(7, a_pod(0))).store(progress=()).later(1800),
            "no step within 1800 s of round 1",
        ),
    ],
)
def test_a_round_without_a_step_is_ended_after_a_while(snapshot, words):
    assert ended(snapshot) == ([(1, words)] if words else [])


def test_it_counts_only_while_the_store_is_heard():
    still = standing().steps(7, a_pod(0), ago_s=9999)
    now = still.observed.now
    assert ended(still.store(since=now)) == []
    assert ended(still.store(since=now).later(600)) == [(1, WORDS)]
    assert ended(still.store(reachable=False)) == []


@pytest.mark.parametrize("phase", ["proposed", "broken", "closed"])
def test_only_a_round_that_stands_can_stand_still(phase):
    still = standing().steps(7, a_pod(0), ago_s=9999)
    round_ = replace(still.observed.store.round, phase=phase)
    assert ended(still.store(round=round_)) == []


def test_it_is_looked_at_again_when_it_is_due():
    assert planned(standing().steps(7, a_pod(0), ago_s=590)).after_s == 10
    assert planned(standing().steps(7, a_pod(0))).after_s == 600


def test_it_is_asked_for_once_and_stays_asked_for():
    still = standing().steps(7, a_pod(0), ago_s=600)
    assert written(asked(still)) == []
    assert written(asked(still).steps(8, a_pod(0))) == []
    assert written(asked(still).later(9999)) == []
    again = restarted(asked(still), *BOTH).later(9999).steps(8, a_pod(0), ago_s=700)
    words = "no step for 600 s in round 2; the last was step 8, told by rank 0"
    assert ended(told(again)) == [(2, words)]


def test_an_emptied_store_is_told_again():
    still = standing().steps(7, a_pod(0), ago_s=600)
    assert ended(still.store(settings=None)) == [(1, WORDS)]


def test_the_status_says_so_and_an_event_once():
    still = standing().steps(7, a_pod(0), ago_s=600)
    words = f"{WORDS}; its workers are stopped"
    assert news(told(standing()).store(progress=still.observed.store.progress)) == [
        ("TrainingStalled", words)
    ]
    for snapshot in (told(still), told(asked(still))):
        condition = next(c for c in snapshot.observed.status.conditions if c.type == "Progressing")
        assert (condition.status, condition.reason) == ("True", "TrainingStalled")
        assert condition.message == words
        assert news(restarted(asked(snapshot) if written(snapshot) else snapshot, *BOTH)) == [
            ("RoundFormed", f"round 2: 2 workers, formed in 0.2 s; because {WORDS}")
        ]


def test_an_event_tells_of_it_also_if_the_next_round_was_faster():
    assert ("TrainingStalled", WORDS) in news(restarted(told(standing()), *BOTH))


@pytest.mark.parametrize("members", [BOTH, BOTH[:1]], ids=["all came back", "one was lost"])
def test_it_counts_as_a_failure_of_training(members):
    after = told(restarted(told(standing()), *members)).observed.status
    assert (after.restarts.worker, after.restarts.counted) == (1, 1)
    assert (after.last_failure.reason, after.last_failure.message) == ("TrainingStalled", WORDS)
    assert after.last_failure.rank is None


def test_it_counts_against_max_restarts():
    over = planned(restarted(told(standing()).wants(max_restarts=0), *BOTH)).over
    assert (over.condition, over.reason) == ("Failed", "MaxRestartsExceeded")
    assert over.message.endswith(f"; last: {WORDS}")


@pytest.mark.parametrize(
    ("action", "counted", "over"), [("Ignore", 0, None), ("FailJob", 1, "FailurePolicy")]
)
def test_a_rule_may_be_about_it(action, counted, over):
    rule = FailureRule.model_validate({"action": action, "onReasons": ["TrainingStalled"]})
    after = restarted(told(standing(rules=(rule,))), *BOTH)
    assert told(after).observed.status.restarts.counted == counted
    assert (planned(after).over.reason if over else planned(after).over) == over


# --- the pod -----------------------------------------------------------------------------------


def test_the_script_has_a_folder_for_it_that_it_may_write_whatever_its_user():
    pod = pods.worker(a_job(), 0, 0, SETTINGS)
    container = pod["spec"]["containers"][0]
    folder = next(e["value"] for e in container["env"] if e["name"] == scripts.FOLDER)
    mount = next(m for m in container["volumeMounts"] if m["mountPath"] == folder)
    assert "readOnly" not in mount
    volume = next(v for v in pod["spec"]["volumes"] if v["name"] == mount["name"])
    assert volume["emptyDir"] == {}
