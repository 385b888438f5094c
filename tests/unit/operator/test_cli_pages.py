"""What the command prints: the list of jobs, a job's page, and the news of one that is watched."""

from datetime import timedelta

import builders
import pytest
from builders import NOW

from elasticjob_operator import api, conditions, timeline
from elasticjob_operator.cli import job_page, listing, news, terminal
from elasticjob_operator.progress import Progress, Straggler
from elasticjob_operator.timestamps import stamp


def ago(seconds):
    return stamp(NOW - timedelta(seconds=seconds))


def condition(kind, status, reason, message):
    made = conditions.make(
        kind, status=status, reason=reason, message=message, now=NOW, generation=1
    )
    return made.model_copy(update={"last_transition_time": ago(90)})


def a_round(number, *members, reason="all joined"):
    return api.RoundRecord(
        round=number,
        cause="start",
        reason=reason,
        workers=len(members),
        world_size=2 * len(members),
        seconds=0.2,
        formed_at=ago(60 - number),
        members=members,
    )


TRAINING = condition("Progressing", True, "Training", "round 1 trains")
BOTH = ("digits-0-0", "digits-1-0")
SAID = "digits-0-0 (rank 0) said so 8s ago"
RUNNING = api.ElasticJobStatus(
    phase="Running",
    ready_of_wanted="2/2",
    start_time=ago(3600),
    conditions=(condition("Ready", True, "RoundFormed", "round 1 stands"), TRAINING),
    restarts=api.Restarts(worker=1, counted=1, infrastructure=2),
    rendezvous=api.RendezvousStatus(
        endpoint="etcds://digits-rdzv:2379",
        round=1,
        state="Formed",
        workers=2,
        world_size=4,
        waiting=1,
        members=tuple(api.RoundMember(pod=p, node=f"node-{r}", rank=r) for r, p in enumerate(BOTH)),
        history=(a_round(1, *BOTH),),
    ),
    progress=Progress(
        step=1200,
        epoch=2.5,
        metrics={"loss": "0.31"},
        steps_per_second=4.0,
        step_seconds=0.2,
        rank=0,
        pod="digits-0-0",
        round=1,
        reported_at=ago(8),
        stragglers=(Straggler(rank=1, pod="digits-1-0", node="node-1", step_seconds=0.5),),
    ),
    last_failure=api.Failure(
        pod="digits-1-0",
        rank=1,
        worker_rank=3,
        exit_code=1,
        reason="WorkerFailed",
        message="ValueError: no such data set",
        traceback="File train.py, line 3\nValueError: no such data set",
        at=ago(300),
    ),
)


def a_job(status=RUNNING, name="digits"):
    return builders.a_job(name=name, status=status, nproc_per_node=2)


# --- the list ----------------------------------------------------------------------------------


def test_jobs_are_listed_by_name():
    new = a_job(api.ElasticJobStatus(), name="a-new-one")
    assert listing.render([a_job(), new], NOW, namespaces=False) == [
        "NAME       PHASE    ROUND  WORLD  READY  STEP  RESTARTS  AGE  REASON",
        "a-new-one  Pending  0      ?      0/0          0         1h",
        "digits     Running  1      4      2/2    1200  1         1h   Training",
    ]


def test_namespaces_are_named_where_they_differ():
    header, row = listing.render([a_job()], NOW, namespaces=True)
    assert header.startswith("NAMESPACE  NAME ")
    assert row.startswith("ml         digits ")


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (3600, "1h"),
        (3720, "1h2m"),
        (86_400 + 7200, "1d2h"),
        (-5, "0s"),
    ],
)
def test_an_age_has_its_leading_units(seconds, age):
    assert listing.age(ago(seconds), NOW) == age


# --- a job's page ------------------------------------------------------------------------------


def test_a_jobs_page_says_how_it_is_who_is_in_it_and_what_failed():
    assert job_page.render(a_job(), NOW) == [
        "digits in namespace ml: Running, 2/2 workers in the round, 1h old",
        "",
        "workers    2 wanted, 2 at least, 4 at most",
        "round      1 (Formed), 2 workers, world size 4, 1 waiting",
        f"progress   step 1200 (epoch 2.5), 4 steps/s, 0.2 s each, loss 0.31; {SAID}",
        "straggler  digits-1-0 (rank 1) on node-1 takes 0.5 s for a step",
        "store      etcds://digits-rdzv:2379",
        "restarts   1 of 3 (worker 1, pod 0); not counted: infrastructure 2, ignored 0",
        "started    1h ago",
        "",
        "condition    status  since  reason",
        "Ready        True    90s    RoundFormed",
        "  round 1 stands",
        "Progressing  True    90s    Training",
        "  round 1 trains",
        "",
        "rank  pod         node",
        "0     digits-0-0  node-0",
        "1     digits-1-0  node-1",
        "",
        "last failure: digits-1-0 (rank 1), process 3, exit code 1, WorkerFailed, 5m ago",
        "  ValueError: no such data set",
        "  | File train.py, line 3",
        "  | ValueError: no such data set",
    ]


def test_a_sentence_that_conditions_share_is_said_once():
    kinds = ("Ready", "Progressing", "Complete", "Failed")
    ends = tuple(
        condition(kind, kind == "Complete", "RoundSucceeded", "it ended") for kind in kinds
    )
    store = condition("RendezvousReady", False, "JobOver", "the run is closed")
    page = job_page.render(a_job(RUNNING.model_copy(update={"conditions": (store, *ends)})), NOW)
    [at] = [number for number, line in enumerate(page) if line.startswith("condition")]
    assert [line.split()[0] for line in page[at + 1 : at + 8]] == [
        *("RendezvousReady", "the", *kinds, "it")
    ]


def test_steps_spares_and_the_autoscaler_are_named_where_there_are_any():
    status = RUNNING.model_copy(update={"spares": 1, "autoscaler": "digits"})
    job = builders.a_job(status=status, replica_step=2, spare_replicas=3)
    assert job_page.render(job, NOW)[2:5] == [
        "workers     2 wanted, 2 at least, 4 at most, in steps of 2",
        "spares      1 of 3",
        "autoscaler  digits",
    ]


def test_a_job_that_no_operator_has_looked_at():
    page = job_page.render(a_job(api.ElasticJobStatus()), NOW)
    assert page[-2:] == ["", "no operator has looked at it yet"]


def test_of_a_large_round_the_page_says_how_many_it_does_not_list():
    large = RUNNING.rendezvous.model_copy(update={"workers": 300})
    page = job_page.render(a_job(RUNNING.model_copy(update={"rendezvous": large})), NOW)
    assert "... and 298 more" in page


# --- news --------------------------------------------------------------------------------------


def test_rounds_and_states_are_told_once():
    lines, told = news.since(news.Told(), a_job(), NOW)
    assert lines == [
        "11:59:01  round 1: 2 workers, world size 4, formed in 0.2 s; because all joined",
        "          digits-0-0 is rank 0, digits-1-0 is rank 1",
        "12:00:00  Running: round 1 trains",
    ]
    assert news.since(told, a_job(), NOW) == ([], told)


def test_rounds_that_were_formed_meanwhile_are_all_told():
    _, told = news.since(news.Told(), a_job(), NOW)
    later = RUNNING.rendezvous.model_copy(
        update={"history": (a_round(1, *BOTH), a_round(2, "digits-0-0"), a_round(3, *BOTH))}
    )
    lines, told = news.since(told, a_job(RUNNING.model_copy(update={"rendezvous": later})), NOW)
    assert [line.split("  ")[1][:7] for line in lines[::2]] == ["round 2", "round 3"]
    assert told.round == 3


def test_a_state_that_says_nothing_but_the_round_is_not_told_beside_it():
    formed = RUNNING.rendezvous.history[0]
    trains = condition("Progressing", True, "Training", timeline.words(formed))
    job = a_job(RUNNING.model_copy(update={"conditions": (trains,)}))
    lines, told = news.since(news.Told(), job, NOW)
    assert [line.split("  ")[1][:7] for line in lines[:1]] == ["round 1"]
    assert len(lines) == 2, "the round, and who is in it"
    assert news.since(told, job, NOW) == ([], told)


def test_the_end_is_told_by_its_own_sentence():
    end = condition("Failed", True, "MaxRestartsExceeded", "training failed 4 times")
    over = RUNNING.model_copy(update={"phase": "Failed", "conditions": (TRAINING, end)})
    lines, _ = news.since(news.Told(round=1), a_job(over), NOW)
    assert lines == ["12:00:00  Failed: training failed 4 times"]


# --- the terminal ------------------------------------------------------------------------------


def test_what_a_container_wrote_does_not_steer_the_terminal(capsys):
    terminal.show(["\x1b]0;owned\x07 a\tb", "caf\u00e9", "\u202egnp.exe"])
    terminal.complain("two\nlines \x1b[2J")
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["�]0;owned� a    b", "café", "�gnp.exe"]
    assert printed.err == "elasticjob: two lines �[2J\n"
