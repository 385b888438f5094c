"""What else befalls a job in a cluster: too small a quota, edits, failures without end, and an API
server that is killed."""

import json
import os
import re
import signal

import processes
import pytest

from examples.demo import story
from examples.demo.commands import CommandError
from localcluster import health, machine

API_SERVER = "kube-apiserver"

# --- a quota that is too small, and edits in mid-run ---------------------------------------------

REFUSED = [
    (
        {"template": {"spec": {"nodeSelector": {"gpu": "new"}}}},
        r"template cannot be changed while the job runs: .*; set runPolicy\.suspend to true first",
    ),
    ({"rendezvous": {"lastCallSeconds": 9}}, "rendezvous cannot be changed: it would not reach"),
    ({"minReplicas": 4}, r"minReplicas \(4\) must not exceed maxReplicas \(3\)"),
    ({"replicas": 9}, r"replicas \(9\) must lie between minReplicas \(2\) and maxReplicas \(3\)"),
]


def edit(job, **spec):
    patch = json.dumps({"spec": spec})
    job.tools.ask("kubectl", "patch", f"ej/{job.name}", "--type=merge", f"--patch={patch}")


def refused_pods(known):
    """What the job says of the pods that the API server does not take."""
    progressing = known.condition("Progressing")
    return progressing["message"] if progressing.get("reason") == "ObjectRefused" else ""


def test_a_job_runs_with_what_a_quota_allows_and_is_edited_meanwhile(run, manifest, tools):
    tools.ask("kubectl", "create", "quota", "few", "--hard=pods=3")
    job = run(manifest(ticking=True, replicas=3, maxReplicas=3))
    known = job.wait("a round of two", lambda known: story.is_round_of(known, 2))
    known = job.wait("the third to be missed", lambda known: "2 of 3 pods" in refused_pods(known))
    words = "round 1 stands with 2 workers; 2 of 3 pods are there: the API server refuses the pod"
    assert refused_pods(known).startswith(words)
    assert "exceeded quota: few, requested: pods=1, used: pods=3, limited: pods=3" in (
        refused_pods(known)
    )
    assert known.condition("Progressing")["status"] == "True"

    for change, answer in REFUSED:
        with pytest.raises(CommandError, match=answer):
            edit(job, **change)
    edit(job, minReplicas=1, replicas=4, maxReplicas=4, maxRestarts=1)
    job.wait("a fourth to be missed", lambda known: "2 of 4 pods" in refused_pods(known))
    edit(job, replicas=3)

    more = json.dumps({"spec": {"hard": {"pods": "4"}}})
    tools.ask("kubectl", "patch", "quota", "few", "--type=merge", f"--patch={more}")
    job.wait("a round of three", lambda known: story.is_round_of(known, 3))
    known = job.finish()
    assert [len(one.members) for one in known.rounds] == [2, 3]
    assert known.job["status"]["restarts"]["counted"] == 0
    assert known.condition("Complete")["message"] == "all 3 workers of round 2 ended with success"


# --- failures without end ------------------------------------------------------------------------

STOPS = {
    "budget": (
        {"budget": {"windowSeconds": 600, "maxRestartsPerWindow": 2}},
        "RestartBudgetExceeded",
        r"training failed [3-9] times within 600 s, failurePolicy\.budget allows 2; last: ",
    ),
    "nowhere": (
        {"noProgressRounds": 3, "progressSeconds": 300},
        "NoProgress",
        r"[3-9] rounds in a row failed before 300 s had passed, .*noProgressRounds is 3;",
    ),
}


def test_a_job_that_fails_again_and_again_is_stopped_with_the_numbers(run, manifest):
    command = ["torchrun", "--no-python", "sh", "-c", "exit 7"]
    one = {"minReplicas": 1, "replicas": 1, "maxReplicas": 1, "maxRestarts": 100}
    jobs = {
        name: run(manifest(name, command=command, failurePolicy=policy, **one))
        for name, (policy, _, _) in STOPS.items()
    }
    for name, (_, reason, words) in STOPS.items():
        known = jobs[name].wait("Failed", lambda known: known.holds("Failed"))
        failed = known.condition("Failed")
        assert failed["reason"] == reason
        assert re.match(words, failed["message"])
        # torchrun starts the worker again by itself: more failures than one may be seen at once.
        assert known.job["status"]["restarts"]["counted"] >= 3
        assert known.job["status"]["lastFailure"]["exitCode"] == 7


# --- an API server that is killed ----------------------------------------------------------------


def test_a_round_re_forms_while_the_api_server_is_away(run, manifest, operator, machines):
    described = manifest(ticking=True, minReplicas=1)
    job = run(described)
    job.wait("an epoch of two workers", lambda known: story.count_epochs(known, 2) >= 1)
    plane = machines.control_plane
    before = machine.restarts(plane.folder, API_SERVER)
    os.kill(processes.child(machine.find(plane.folder), API_SERVER), signal.SIGKILL)
    os.kill(processes.worker_of("digits-1-0"), signal.SIGKILL)
    health.wait_for_api(machines)
    assert machine.restarts(plane.folder, API_SERVER) == before + 1

    job = run(described)  # the watches ended with the server
    known = job.wait("the round after it", lambda known: len(known.rounds) == 2)
    assert [len(one.members) for one in known.rounds] == [2, 2]
    assert "digits-1-0" in known.rounds[1].reason
    job.scale(3)
    job.wait("a round of three", lambda known: story.is_round_of(known, 3))
    known = job.finish()
    restarts = known.job["status"]["restarts"]
    assert (restarts["worker"], restarts["pod"], restarts["infrastructure"]) == (1, 0, 0)
