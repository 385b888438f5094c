"""A node that is drained, and jobs that end for want of memory, of time, or of a worker."""

from contextlib import contextmanager
from pathlib import Path

import long_plays
import pytest
from kubectl import until
from running_job import restarts_of

from examples.demo import story
from examples.demo.commands import CommandError

pytestmark = long_plays.ONLY_WHEN_ASKED_FOR

TICKING = Path(__file__).with_name("ticking.py")


# --- a node that is drained ----------------------------------------------------------------------

ALL_ANSWER = "3 of 3 members of the rendezvous store answer"


def all_answer(known):
    return known.condition("RendezvousReady").get("message") == ALL_ANSWER


def members_on(known, node):
    members = known.job["status"]["rendezvous"]["members"]
    return [member["pod"] for member in members if member["node"] == node]


@contextmanager
def drained(tools, node):
    """Within this the node has no pods, and takes none."""
    limit = ("--timeout=200s", "--delete-emptydir-data", "--ignore-daemonsets")
    try:
        tools.show("kubectl", "drain", node, *limit, timeout_s=210)
        yield
    finally:
        tools.show("kubectl", "uncordon", node)


def test_a_node_is_drained_as_the_budgets_allow_and_used_again(run, manifest, operator, node):
    job = run(
        manifest(ticking=True, minReplicas=1, replicas=3, rendezvous={"etcd": {"members": 3}})
    )
    job.wait("three members of the store", all_answer)
    workers = f"--selector=rdzv.dev/job={job.name},rdzv.dev/role=worker"
    job.tools.ask("kubectl", "create", "pdb", "workers", workers, "--max-unavailable=1")
    known = job.wait("an epoch of three", lambda known: story.count_epochs(known, 3) >= 1)
    job.wait("a round of three", lambda known: story.is_round_of(known, 3))
    evicted = members_on(known, node)
    assert evicted, "the workers are spread over the nodes"
    answers_since = known.condition("RendezvousReady")["lastTransitionTime"]
    with drained(job.tools, node):
        known = job.wait(
            "three workers elsewhere",
            lambda known: story.is_round_of(known, 3) and not members_on(known, node),
        )
        known = job.wait("three members of the store", all_answer)
        assert known.condition("RendezvousReady")["lastTransitionTime"] == answers_since
        assert restarts_of(known) == (len(evicted), 0)
        lost = {message for _, reason, message in job.events() if reason == "WorkerLost"}
        words = "was taken away (EvictionByEvictionAPI: Eviction API: evicting)"
        assert lost == {f"pod {pod} {words}" for pod in evicted}
    job.scale(4)
    known = job.wait("a round of four", lambda known: story.is_round_of(known, 4))
    known = job.wait("a worker on that node", lambda known: bool(members_on(known, node)))
    job.delete()


# --- jobs that end for want of memory, of time, or of a worker -----------------------------------

NEEDS_TOO_MUCH_ONCE = """
from pathlib import Path

once = Path("/tmp/once")
if not once.exists():
    once.touch()
    hoard = bytearray(2**31)  # more than torchrun itself has: the kernel takes the largest
    hoard[:] = b"1" * len(hoard)
"""


def test_want_of_memory_of_time_and_of_a_worker_is_told_as_what_it_is(run, manifest, tools):
    one = {"minReplicas": 1, "replicas": 1, "maxReplicas": 1}
    greedy = manifest("greedy", script=NEEDS_TOO_MUCH_ONCE + TICKING.read_text(), **one)
    (container,) = greedy["spec"]["template"]["spec"]["containers"]
    container["resources"]["limits"]["memory"] = "1536Mi"
    greedy = run(greedy)
    brief = run(manifest("brief", ticking=True, runPolicy={"activeDeadlineSeconds": 25}, **one))
    late = manifest("late", ticking=True, replicas=3, rendezvous={"lastCallSeconds": 1})
    (container,) = late["spec"]["template"]["spec"]["containers"]
    *start, script = container["command"]
    container["command"] = [*start, f"case $HOSTNAME in *-2-0) exec sleep 600;; esac\n{script}"]
    late = run(late)

    known = greedy.wait("a failure to be told", lambda known: bool(known.rounds[1:]))
    tools.show("kubectl", "describe", "elasticjob/greedy")
    failure = known.job["status"]["lastFailure"]
    assert failure["exitCode"] == -9
    assert "memory" in failure["message"]
    assert restarts_of(known) == (0, 1)
    greedy.finish()

    known = brief.wait("Failed", lambda known: known.holds("Failed"))
    tools.show("kubectl", "describe", "elasticjob/brief")
    assert known.condition("Failed")["reason"] == "DeadlineExceeded"
    assert "25 s" in known.condition("Failed")["message"]
    selector = "--selector=rdzv.dev/job=brief,rdzv.dev/role=worker"
    until(
        lambda: "Running" not in tools.ask("kubectl", "get", "pods", selector),
        "its worker to be ended",
        60,
    )

    late.wait("a round of the two others", lambda known: story.is_round_of(known, 2))
    known = late.finish()
    words = "all 2 workers of round 1 ended with success"
    assert known.condition("Complete")["message"] == words
    gone = ("--for=delete", "pod/late-2-0", "--timeout=90s")
    tools.show("kubectl", "wait", *gone, timeout_s=100)
    with pytest.raises(CommandError, match="NotFound"):
        tools.ask("kubectl", "get", "pod/late-2-0")
