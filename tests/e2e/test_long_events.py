"""What befalls a cluster and its operator, and takes long to play: an operator that is killed in a
loop, an API server that hangs, a node that is drained, and jobs that end for want of something."""

import os
import random
import re
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import processes
import pytest
from kubectl import until

from examples.demo import story
from examples.demo.commands import CommandError
from localcluster import machine

pytestmark = pytest.mark.skipif(
    "ELASTICJOB_E2E_EVENTS" not in os.environ, reason="they take minutes: `make test-events`"
)

TICKING = Path(__file__).with_name("ticking.py")
LONG_S = 240
HANGS_S = 30


def restarts(known):
    told = known.job["status"]["restarts"]
    return {kind: told[kind] for kind in ("infrastructure", "counted")}


def numbers(known):
    return [one.number for one in known.rounds]


# --- an operator that is killed in a loop --------------------------------------------------------


class Kills:
    """Kills whoever leads a moment after it has begun to, again and again."""

    def __init__(self, operator):
        self.leaders = []
        self._operator = operator
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._enough.set()
        self._thread.join()

    def _run(self):
        while not self._enough.wait(random.uniform(0, 3)):  # the moment is nobody's choice
            leader = self._operator.leader()
            if leader and leader not in self.leaders:
                self._operator.kill_process(leader)
                self.leaders.append(leader)


class Slots:
    """Watches the workers' pods: which were made, and when two had the same index at once."""

    def __init__(self, tools):
        self.made, self.doubled, self.most = set(), [], 0
        self._there = {}
        workers = ("pods", "--selector=rdzv.dev/role=worker", "--watch", "--output-watch-events")
        self._follower = tools.follow("kubectl", "get", *workers, "--output=json")

    def __enter__(self):
        self._follower.documents(self._see)
        return self

    def __exit__(self, *_):
        self._follower.stop()

    def _see(self, event):
        pod = event["object"]
        metadata, name = pod["metadata"], pod["metadata"]["name"]
        self.made.add(name)
        ends = "deletionTimestamp" in metadata or pod["status"]["phase"] in ("Succeeded", "Failed")
        if event["type"] == "DELETED" or ends:
            self._there.pop(name, None)
            return
        index = metadata["labels"]["rdzv.dev/index"]
        self.doubled += [(name, other) for other, its in self._there.items() if its == index]
        self.doubled = [(one, other) for one, other in self.doubled if one != other]
        self._there[name] = index
        self.most = max(self.most, len(self._there))


def without(victim, workers):
    """Whether a round of so many stands, without the one that was killed."""
    return lambda known: (
        story.is_round_of(known, workers) and victim not in known.rounds[-1].members
    )


def made(events):
    """The pods that events say were made, and how many more they do not name."""
    said = [message.removeprefix("made ") for _, reason, message in events if "Created" in reason]
    named = [re.sub(r" and \d+ more$", "", text) for text in said]
    return [name for text in named for name in text.split(", ")]


def test_an_operator_that_is_killed_in_a_loop_loses_nothing_and_makes_nothing_twice(
    run, manifest, operator, tools
):
    with Slots(tools) as slots, Kills(operator) as kills:
        job = run(manifest(ticking=True, minReplicas=1, maxReplicas=4))
        job.wait("a round of two", lambda known: story.is_round_of(known, 2), LONG_S)
        job.scale(4)
        known = job.wait("a round of four", lambda known: story.is_round_of(known, 4), LONG_S)
        for rank in (0, 2):
            victim = known.rounds[-1].members[rank]
            job.kill(victim)
            known = job.wait("another in its place", without(victim, 4), LONG_S)
        job.scale(2)
        job.wait("a round of two", lambda known: story.is_round_of(known, 2), LONG_S)
        known = job.wait("two pods", lambda known: known.job["status"]["replicas"] == 2, LONG_S)
        for pod in known.rounds[-1].members:
            tools.ask("kubectl", "exec", pod, "--", "touch", "/tmp/finish")
        known = job.wait("Complete", lambda known: known.holds("Complete"), LONG_S)
        assert len(kills.leaders) >= 5
    assert slots.doubled == []
    assert slots.most <= 4
    assert len(slots.made) == 6, "two, two more, and one for each that was killed"
    assert numbers(known) == list(range(1, len(known.rounds) + 1)), "each round is told"
    assert restarts(known) == {"infrastructure": 2, "counted": 0}
    attempts = known.job["status"]["attempts"]
    assert sum(attempts["created"]) == sum(attempts["ended"]) == 6
    tools.show("kubectl", "describe", "elasticjob/digits")
    said = Counter((reason, message) for _, reason, message in job.events())
    assert [event for event, times in said.items() if times > 1] == []
    created = Counter(made(job.events()))
    assert [name for name, times in created.items() if times > 1] == []
    told = f"{len(kills.leaders)} operators killed, {sum(said.values())} events"
    tools.narrator.live("measured", told)


# --- an API server that hangs --------------------------------------------------------------------


def test_a_round_re_forms_while_the_api_server_hangs_and_the_operator_recovers(
    run, manifest, operator, machines
):
    described = manifest(ticking=True, minReplicas=1)
    job = run(described)
    job.wait("an epoch of two workers", lambda known: story.count_epochs(known, 2) >= 1)
    before = operator.lives()
    server = processes.child(machine.find(machines.control_plane.folder), "kube-apiserver")
    with processes.stopped(server):
        hung_at = time.monotonic()
        victim = processes.worker_of("digits-1-0")
        others = processes.worker_of("digits-0-0")
        os.kill(victim, signal.SIGKILL)
        for pod, old in (("digits-1-0", victim), ("digits-0-0", others)):
            until(
                lambda pod=pod, old=old: set(processes.of_pod(pod, LOCAL_RANK=0)) - {old},
                f"training in {pod} to begin again",
            )
        time.sleep(max(0.0, HANGS_S - (time.monotonic() - hung_at)))

    job = run(described)  # its watches may have ended
    known = job.wait("the round to be told", lambda known: len(known.rounds) == 2, LONG_S)
    assert [len(one.members) for one in known.rounds] == [2, 2]
    assert "digits-1-0" in known.rounds[1].reason
    job.scale(3)
    job.wait("a round of three", lambda known: story.is_round_of(known, 3), LONG_S)
    after = operator.lives()
    assert after.keys() == before.keys(), "no pod of the operator's was made anew"
    ends = sum(after.values()) - sum(before.values())
    assert ends <= 1, "the one that led ends, since it cannot say so any more; the other stands by"
    assert operator.liveness_failures() == []
    known = job.finish()
    told = known.job["status"]["restarts"]
    assert (told["worker"], told["pod"], told["infrastructure"]) == (1, 0, 0)


# --- a script that fails while the operator is away ----------------------------------------------

FAILS_WHEN_TOLD = """
import time
from pathlib import Path

while not Path("/tmp/fail").exists():
    time.sleep(0.1)
raise SystemExit(7)
"""


def test_a_script_that_fails_for_ever_ends_without_an_operator_and_is_told_later(
    run, manifest, operator
):
    one = {"minReplicas": 1, "replicas": 1, "maxReplicas": 1}
    job = run(manifest(script=FAILS_WHEN_TOLD, maxRestarts=1, **one))
    job.wait("a round", lambda known: story.is_round_of(known, 1))
    with operator.away():
        job.tools.ask("kubectl", "exec", "digits-0-0", "--", "touch", "/tmp/fail")
        failed = ("--for=jsonpath={.status.phase}=Failed", "--timeout=180s")
        job.tools.show("kubectl", "wait", "pod/digits-0-0", *failed, timeout_s=190)
        log = job.tools.ask("kubectl", "logs", "digits-0-0")
        assert re.search(r"failed 1[2-4] times since the operator last looked", log)
    known = job.wait("Failed", lambda known: known.holds("Failed"))
    job.tools.show("kubectl", "describe", "elasticjob/digits")
    assert known.condition("Failed")["reason"] == "MaxRestartsExceeded"
    assert known.job["status"]["lastFailure"]["exitCode"] in (1, 7)


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
        assert restarts(known) == {"infrastructure": len(evicted), "counted": 0}
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
    hoard = bytearray(2**30)
    hoard[:] = b"1" * len(hoard)
"""


def test_want_of_memory_of_time_and_of_a_worker_is_told_as_what_it_is(run, manifest, tools):
    one = {"minReplicas": 1, "replicas": 1, "maxReplicas": 1}
    greedy = manifest("greedy", script=NEEDS_TOO_MUCH_ONCE + TICKING.read_text(), **one)
    (container,) = greedy["spec"]["template"]["spec"]["containers"]
    container["resources"]["limits"]["memory"] = "768Mi"
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
    assert restarts(known) == {"infrastructure": 0, "counted": 1}
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
