"""What befalls the operator and the API server: killed in a loop, hung, and away for long."""

import json
import os
import random
import re
import signal
import threading
import time
from collections import Counter

import long_plays
import processes
from kubectl import until
from long_plays import LIMIT_S
from running_job import restarts_of

from examples.demo import story
from localcluster import machine

pytestmark = long_plays.ONLY_WHEN_ASKED_FOR

HANGS_S = 30


def numbers(known):
    return [one.round for one in known.rounds]


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
        self._follower.lines(lambda line: self._see(json.loads(line)))
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
        job.wait("a round of two", lambda known: story.is_round_of(known, 2), LIMIT_S)
        job.scale(4)
        known = job.wait("a round of four", lambda known: story.is_round_of(known, 4), LIMIT_S)
        for rank in (0, 2):
            victim = known.rounds[-1].members[rank]
            job.kill(victim)
            known = job.wait("another in its place", without(victim, 4), LIMIT_S)
        job.scale(2)
        job.wait("a round of two", lambda known: story.is_round_of(known, 2), LIMIT_S)
        known = job.wait("two pods", lambda known: known.job["status"]["replicas"] == 2, LIMIT_S)
        for pod in known.rounds[-1].members:
            tools.ask("kubectl", "exec", pod, "--", "touch", "/tmp/finish")
        known = job.wait("Complete", lambda known: known.holds("Complete"), LIMIT_S)
        assert len(kills.leaders) >= 5
    assert slots.doubled == []
    assert slots.most <= 4
    assert len(slots.made) == 6, "two, two more, and one for each that was killed"
    assert numbers(known) == list(range(1, len(known.rounds) + 1)), "each round is told"
    assert restarts_of(known) == (2, 0)
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
    known = job.wait("the round to be told", lambda known: len(known.rounds) == 2, LIMIT_S)
    assert [len(one.members) for one in known.rounds] == [2, 2]
    assert "digits-1-0" in known.rounds[1].reason
    job.scale(3)
    job.wait("a round of three", lambda known: story.is_round_of(known, 3), LIMIT_S)
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
