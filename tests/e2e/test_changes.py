"""A job that trains is made smaller, suspended and resumed."""

import json

from examples.demo import story


def suspend(job, suspend):
    change = json.dumps({"spec": {"runPolicy": {"suspend": suspend}}})
    words = ("patch", f"elasticjob/{job.name}", "--type=merge", f"--patch={change}")
    job.tools.show("kubectl", *words)


def test_scaling_in_costs_one_round_and_nobody_fails(run, manifest):
    job = run(manifest(ticking=True, minReplicas=1, replicas=3))
    job.wait("an epoch of three workers", lambda known: story.count_epochs(known, 3) >= 1)
    before = job.known.rounds[-1]
    job.scale(1)
    job.wait("an epoch of the one that is left", lambda known: story.count_epochs(known, 1) >= 1)
    job.wait("its round to be told", lambda known: story.is_round_of(known, 1))
    known = job.wait("two pods to be gone", lambda known: known.job["status"]["replicas"] == 1)
    assert [one.round for one in known.rounds if one.round > before.round] == [before.round + 1]
    assert known.job["status"]["rendezvous"]["history"][-1]["cause"] == "drain"
    assert known.rounds[-1].members == before.members[:1], "rank 0 stays"
    assert known.job["status"]["restarts"]["infrastructure"] == 0
    assert known.job["status"]["restarts"]["counted"] == 0
    job.delete()


def test_a_suspended_job_goes_on_with_the_next_round(run, manifest):
    job = run(manifest(epochs=25))
    job.wait("two epochs of two workers", lambda known: story.count_epochs(known, 2) >= 2)
    suspend(job, True)
    job.wait("Suspended", lambda known: known.holds("Suspended"))
    job.tools.show(
        *("kubectl", "wait", "--for=delete", "pods", f"--selector=rdzv.dev/job={job.name}"),
        *("--timeout=90s",),
        timeout_s=100,
    )
    before = job.known
    suspend(job, False)
    known = job.wait("Complete", lambda known: known.holds("Complete"), 300)
    assert known.rounds[-1].round > before.rounds[-1].round
    run_ids = {one.job["status"]["rendezvous"]["runId"] for one in (before, known)}
    assert len(run_ids) == 1
    assert known.job["status"]["restarts"]["counted"] == 0
    assert known.job["status"]["restarts"]["infrastructure"] == 0


def test_a_rule_about_exit_codes_holds_for_a_worker_whose_pod_lives_on(run, manifest):
    """torchrun starts a failed worker again in its pod: only its log tells the exit code."""
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    command = ["torchrun", "--no-python", "sh", "-c", "sleep 3; exit 42"]
    policy = {"rules": [rule]}
    job = run(manifest(command=command, maxRestarts=100, failurePolicy=policy))
    known = job.wait("Failed", lambda known: known.holds("Failed"))
    assert known.condition("Failed")["reason"] == "FailurePolicy"
    assert known.job["status"]["lastFailure"]["exitCode"] == 42
    assert known.job["status"]["restarts"]["counted"] == 1
