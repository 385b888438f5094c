"""The state table of docs/states.md, row by row: what is seen, and what the status says of it."""

import re
from dataclasses import replace
from pathlib import Path

import builders
import pytest
from builders import a_job, a_pod, a_round, a_store_pod, ended, pending, seen, stuck, unschedulable
from decisions import planned

from elasticjob_operator import conditions, pod_facts, policies, report, run_policy
from elasticjob_operator.failure_policy import (
    FailureBudget,
    FailurePolicy,
    FailureRule,
    OnExitCodes,
)

ROOT = Path(__file__).parents[3]
TABLE = (ROOT / "docs" / "states.md").read_text()
BOTH = (a_pod(0), a_pod(1))
FINISHED = (ended(a_pod(0), 0), ended(a_pod(1), 0))
FAILED = (a_pod(0), ended(a_pod(1), 1, finished_at=builders.NOW))
SUSPENDED = run_policy.RunPolicy(suspend=True)
NO_STORE = seen().silent_store()
REFUSED = report.Outcome(refusal='pods "digits-0-0" is forbidden: exceeded quota: gpus')


def job(**spec):
    return seen(a_job(**spec))


def standing(*pods, snapshot=None, phase="complete"):
    """Round 1 was formed with these pods."""
    members = (snapshot or seen()).pods(*pods).members(*pods)
    return members.rounds(a_round(1, *pods), phase=phase)


def told(snapshot, outcome=None):
    """Return the snapshot with the status that follows from it."""
    return snapshot.told(status(snapshot, outcome))


def status(snapshot, outcome=None):
    return report.status(planned(snapshot), outcome or report.Outcome())


def failing(**policy):
    return job(failure_policy=FailurePolicy(**policy)).pods(*FAILED)


def got_nowhere():
    before = told(standing(*BOTH, snapshot=job(failure_policy=FailurePolicy(no_progress_rounds=1))))
    return before.pods(*FAILED)


def standing_still(phase="complete"):
    """No step was done for long, and the workers were told to end the round."""
    policy = FailurePolicy(progress_deadline_seconds=60)
    still = standing(*BOTH, snapshot=job(failure_policy=policy)).steps(7, a_pod(0), ago_s=60)
    asked = builders.settings(stalled_round=1, stalled_reason="no step for 60 s in round 1")
    now = replace(still.observed.store.round, phase=phase)
    return still.store(settings=asked, round=now)


def cannot_start(reason):
    return seen().pods(ended(a_pod(0), 128, reason=reason), pending(a_pod(1)))


def store_in_trouble(**fields):
    return NO_STORE.store_pods(a_store_pod(ready=False, **fields))


SITUATIONS = {
    # over
    "all workers of the last round ended with success": standing(*BOTH).pods(*FINISHED),
    "the same, and pods that came too late still run": standing(*BOTH).pods(*FINISHED, a_pod(2)),
    "a failure for which a rule says FailJob": failing(
        rules=(
            FailureRule(action="FailJob", on_exit_codes=OnExitCodes(operator="In", values=(1,))),
        )
    ),
    "before any round, a command that cannot be started": cannot_start("StartError"),
    "the same, as older runtimes say it": cannot_start("ContainerCannotRun"),
    "all workers ended with success, but never formed a round": seen().pods(*FINISHED),
    "more failures than maxRestarts": job(max_restarts=0).pods(*FAILED),
    "more failures within a while than failurePolicy.budget": failing(
        budget=FailureBudget(window_seconds=60, max_restarts_per_window=0)
    ),
    "noProgressRounds rounds in a row that got nowhere": got_nowhere(),
    "it ran for activeDeadlineSeconds": told(
        standing(*BOTH, snapshot=job(run_policy=run_policy.RunPolicy(active_deadline_seconds=60)))
    ).later(60),
    # standing still
    "runPolicy.suspend, its pods are ending": standing(*BOTH).wants(run_policy=SUSPENDED),
    "runPolicy.suspend, no pod is left": job(run_policy=SUSPENDED),
    # waiting for somebody
    "the API server refuses a pod": seen(),
    "the Secret with the store's credentials cannot be used": builders.Seen(
        replace(NO_STORE.observed, locked_out="the Secret ml/etcd is not there")
    ),
    "the store's image cannot be pulled": store_in_trouble(
        trouble=builders.Trouble("etcd", "etcd:9", "ErrImagePull", "not found")
    ),
    "the store's pod finds no node": store_in_trouble(unschedulable="0/2 nodes are available"),
    "a worker's image cannot be pulled": seen().pods(a_pod(0), stuck(a_pod(1), "ErrImagePull")),
    "a worker's container cannot be created": seen().pods(
        a_pod(0), stuck(a_pod(1), "CreateContainerConfigError")
    ),
    "fewer than minReplicas pods find a node": seen().pods(a_pod(0), unschedulable(a_pod(1))),
    # going on
    "the store is starting": NO_STORE,
    "no training container runs yet": seen().pods(*map(pending, BOTH)),
    "fewer training containers than minReplicas run": seen().pods(a_pod(0), pending(a_pod(1))),
    "they run, and form the first round": seen().pods(*BOTH),
    "a round stands": standing(*BOTH),
    "a round stands, and further pods find no node": standing(*BOTH, snapshot=job(replicas=3)).pods(
        *BOTH, unschedulable(a_pod(2))
    ),
    "no step was done for progressDeadlineSeconds, the round is to end": standing_still(),
    "the same, it has ended, and the next one is being formed": standing_still(phase="broken"),
    "a round stands, and the store does not answer": told(standing(*BOTH)).silent_store(),
    "a round was broken, and the next one is being formed": standing(*BOTH, phase="broken"),
    "after a loss, fewer than minReplicas run": standing(*BOTH, phase="broken").pods(
        a_pod(0), ended(a_pod(1), 137), pending(a_pod(1, 1))
    ),
    "all workers of the round have finished, pods are ending": standing(*BOTH, phase="closed"),
}
OUTCOMES = {"the API server refuses a pod": REFUSED}


def rows():
    """The rows of the tables, each as its cells."""
    lines = [line.strip("|").split("|") for line in TABLE.splitlines() if line.startswith("| ")]
    cells = [tuple(cell.strip() for cell in line) for line in lines]
    return [row for row in cells if row[0] != "what is seen"]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_the_status_says_what_the_table_says(row):
    found = status(SITUATIONS[row[0]], OUTCOMES.get(row[0]))
    states = {c.type: c.status for c in found.conditions}
    reason = conditions.find(found.conditions, conditions.PROGRESSING).reason
    shown = (states["RendezvousReady"], states["Ready"], states["Progressing"])
    assert (found.phase, *shown, reason) == row[1:]
    for kind in ("Suspended", "Complete", "Failed"):
        assert states[kind] == str(found.phase == kind)


@pytest.mark.parametrize("name", SITUATIONS, ids=str)
def test_every_condition_is_there_in_one_word_and_one_sentence_for_this_generation(name):
    found = status(SITUATIONS[name], OUTCOMES.get(name))
    kinds = ["RendezvousReady", "Ready", "Progressing", "Suspended", "Complete", "Failed"]
    assert [c.type for c in found.conditions] == kinds
    for one in found.conditions:
        assert re.fullmatch(r"([A-Z][a-z]+)+", one.reason)
        assert one.message
        assert one.observed_generation == found.observed_generation == 1


@pytest.mark.parametrize("name", SITUATIONS, ids=str)
def test_the_same_sight_gives_the_same_status_so_that_nothing_is_written_twice(name):
    snapshot = SITUATIONS[name]
    once = told(snapshot, OUTCOMES.get(name))
    twice = told(once, OUTCOMES.get(name))
    assert twice.observed.status == once.observed.status
    assert status(twice.later(0.5), OUTCOMES.get(name)) == once.observed.status


def test_each_situation_stands_in_the_table_once():
    assert sorted(row[0] for row in rows()) == sorted(SITUATIONS)


def test_each_reason_that_there_is_stands_in_the_table():
    package = Path(policies.__file__).parent
    source = "".join(path.read_text() for path in [*package.glob("*.py"), Path(report.__file__)])
    words = re.findall(r'(?:Waiting\(|Over\("\w+",|blocked\()\s*"(\w+)"', source)
    assert {*words, *pod_facts.CANNOT_START} <= {row[5] for row in rows()}
    assert len(set(words)) >= 15, "the reasons are found at all"
