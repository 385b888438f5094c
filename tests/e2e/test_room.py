"""A cluster without room for all of a job: it waits, runs with what it has, and grows and shrinks.

The room is slots of which each worker takes one: an extended resource that only these tests use.
"""

import itertools
import json
import re

import pytest
import yaml

from examples.demo import story
from examples.demo.commands import CommandError

SLOT, RACK = "example.com/slot", "example.com/rack"
JOIN_TIMEOUT_S = 20


@pytest.fixture
def nodes(tools):
    """The names of two nodes, each in a rack of its own."""
    names = tools.ask("kubectl", "get", "nodes", "--output=name").split()[:2]
    for name in names:
        tools.ask("kubectl", "label", name, f"{RACK}={name.removeprefix('node/')}-rack")
    yield names
    for name in names:
        offer(tools, name, None)
        tools.ask("kubectl", "label", name, f"{RACK}-")


def offer(tools, node, slots):
    """Have the node offer so many slots."""
    room = {SLOT: None if slots is None else str(slots)}
    patch = json.dumps({"status": {"capacity": room, "allocatable": room}})
    words = ("--subresource=status", "--type=merge", f"--patch={patch}")
    tools.ask("kubectl", "patch", node, *words)


@pytest.fixture
def urgent(tools, manifest):
    """A pod that is worth more than any worker, to be created."""
    name = tools.ask("kubectl", "config", "view", "--minify", "--output=jsonpath={..namespace}")
    tools.ask("kubectl", "create", "priorityclass", name, "--value=1000")
    slot = {"limits": {SLOT: 1}}
    (trainer,) = manifest()["spec"]["template"]["spec"]["containers"]
    container = {"name": "it", "image": trainer["image"], "command": ["sleep", "600"]}
    spec = {
        "priorityClassName": name,
        "containers": [{**container, "resources": slot}],
        "terminationGracePeriodSeconds": 0,
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "urgent"}, "spec": spec}
    yield yaml.safe_dump(pod)
    tools.ask("kubectl", "delete", "priorityclass", name)


def taking_slots(job):
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["resources"]["limits"][SLOT] = 1
    return job


def short_of_room(known):
    """What the job says of the pods that find no node."""
    progressing = known.condition("Progressing")
    return progressing["message"] if progressing.get("reason") == "Unschedulable" else ""


def assert_waits_longer_than_it_may(tools, pod):
    failed = "--for=jsonpath={.status.phase}=Failed"
    with pytest.raises(CommandError, match="timed out waiting"):
        tools.ask("kubectl", "wait", failed, f"pod/{pod}", f"--timeout={JOIN_TIMEOUT_S + 5}s")


def test_a_job_waits_for_room_runs_with_what_it_has_and_gives_way(
    run, manifest, tools, nodes, urgent
):
    for node, slots in zip(nodes, (1, 0), strict=True):
        offer(tools, node, slots)
    wanted = manifest(
        ticking=True,
        replicas=4,
        topologyKey=RACK,  # which no pod sees: the workers are told before their first round
        rendezvous={"joinTimeoutSeconds": JOIN_TIMEOUT_S},
    )
    job = run(taking_slots(wanted))
    known = job.wait("one worker", lambda known: known.job.get("status", {}).get("active") == 1)
    known = job.wait("three without a node", lambda known: short_of_room(known).startswith("3 of"))
    words = rf"3 of 4 pods find no node, at least 2 must run: 0/\d+ nodes .* Insufficient {SLOT}"
    assert re.match(words, short_of_room(known))
    (alone,) = tools.ask(
        *("kubectl", "get", "pods", "--field-selector=status.phase=Running", "--output=name"),
        f"--selector=rdzv.dev/job={job.name},rdzv.dev/role=worker",
    ).split()
    assert_waits_longer_than_it_may(tools, alone.removeprefix("pod/"))

    for node in nodes:
        offer(tools, node, 2)
    known = job.wait("a round of all four", lambda known: story.is_round_of(known, 4))
    assert [len(one.members) for one in known.rounds] == [4], "all came in one round"
    members = known.job["status"]["rendezvous"]["members"]
    by_rank = [member["node"] for member in sorted(members, key=lambda member: member["rank"])]
    assert [len(list(same)) for _, same in itertools.groupby(by_rank)] == [2, 2], "rack by rack"
    assert "are not grouped" not in known.condition("Progressing")["message"]

    tools.show("kubectl", "create", "--filename=-", stdin=urgent)
    known = job.wait("a round of three", lambda known: story.is_round_of(known, 3))
    known = job.wait("one without a node", lambda known: "1 of 4 pods" in short_of_room(known))
    assert "stands with 3 workers; 1 of 4 pods find no node: 0/" in short_of_room(known)
    assert known.condition("Progressing")["status"] == "True"

    tools.show("kubectl", "delete", "pod", "urgent")
    known = job.wait("a round of four", lambda known: story.is_round_of(known, 4))
    assert [len(one.members) for one in known.rounds] == [4, 3, 4]
    assert known.job["status"]["restarts"]["infrastructure"] == 1
    assert known.job["status"]["restarts"]["counted"] == 0
    job.delete()
