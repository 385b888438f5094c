"""Network policies, enforced by an agent on each node: a job's pods are open to nobody else.

Another job without policies is the measure: whoever is cut off from the one reaches the other.
"""

import dataclasses
import json
import time

import pytest

from examples.demo import story
from localcluster import policies

CLIENT_PORT, PROBE_PORT = 2379, 2381
AGENT_LIMIT_S = 30  # it follows changes by itself, and tells nobody when it has
CONNECT = 'timeout 3 bash -c "</dev/tcp/$at" 2>/dev/null'
MASTER_PORT = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | sed -n s/^MASTER_PORT=//p"


@dataclasses.dataclass(frozen=True)
class Pod:
    """A pod, from which others can be tried."""

    tools: object
    name: str
    address: str = ""
    namespace: str = ""

    def ask(self, *words):
        where = [f"--namespace={self.namespace}"] if self.namespace else []
        return self.tools.ask("kubectl", "exec", *where, self.name, "--", *words)

    def listens(self):
        """Return all at which it can be reached from outside itself, as `address/port`."""
        sockets = (line.split()[3] for line in self.ask("ss", "-Hltn").splitlines())
        heard = (socket.rpartition(":") for socket in sockets)
        return {
            f"{self.address}/{port}"
            for address, _, port in heard
            if not address.startswith(("127.", "[::1]"))
        }

    def reaches(self, places):
        """Return those of the places at which a TCP connection is made."""
        script = f'for at in "$@"; do {CONNECT} && echo "$at"; done; true'
        return set(self.ask("bash", "-c", script, "connect", *sorted(places)).split())


@pytest.fixture
def enforced(machines):
    """An agent on each node enforces network policies."""
    with policies.enforced(machines):
        yield


@pytest.fixture
def stranger(tools, manifest):
    """A pod in another namespace."""
    image = manifest()["spec"]["template"]["spec"]["containers"][0]["image"]
    where, sleep = "--namespace=default", ("--command", "--", "sleep", "infinity")
    tools.ask("kubectl", "run", "stranger", where, f"--image={image}", "--restart=Never", *sleep)
    ready = ("--for=condition=Ready", "--timeout=60s")
    tools.ask("kubectl", "wait", "pod/stranger", where, *ready, timeout_s=70)
    yield Pod(tools, "stranger", namespace="default")
    tools.ask("kubectl", "delete", "pod/stranger", where, "--now", "--wait=false")


def pods_of(job, role):
    selector = f"--selector=rdzv.dev/job={job.name},rdzv.dev/role={role}"
    found = json.loads(job.tools.ask("kubectl", "get", "pods", selector, "--output=json"))
    return [
        Pod(job.tools, pod["metadata"]["name"], pod["status"]["podIP"]) for pod in found["items"]
    ]


def at(pod, *ports):
    return {f"{pod.address}/{port}" for port in ports}


def all_at_which_they_listen(pods):
    return set().union(*(pod.listens() for pod in pods))


def assert_reaches_soon(pod, places, reached):
    deadline = time.monotonic() + AGENT_LIMIT_S
    while (found := pod.reaches(places)) != reached and time.monotonic() < deadline:
        pass  # each look takes its time
    assert found == reached, pod.name


def test_a_job_trains_and_nobody_but_its_own_pods_reaches_them(enforced, run, manifest, stranger):
    job = run(manifest(epochs=9000, width=8))
    other = run(manifest("other", ticking=True, minReplicas=1, replicas=1, networkPolicy="None"))
    job.wait("an epoch of two workers", lambda known: story.count_epochs(known, 2) >= 1)
    job.scale(3)
    known = job.wait("an epoch of three workers", lambda known: story.count_epochs(known, 3) >= 1)
    assert known.holds("RendezvousReady"), "the operator is let in"
    other.wait("a round", lambda known: bool(known.rounds))

    workers, (store,) = pods_of(job, "worker"), pods_of(job, "store")
    assert store.listens() == at(store, CLIENT_PORT, PROBE_PORT)
    first = next(pod for pod in workers if pod.name == known.rounds[-1].members[0])
    (master_port,) = set(first.ask("sh", "-c", MASTER_PORT).split())
    guarded = all_at_which_they_listen(workers)
    assert at(first, master_port) < guarded, "the workers' own sockets are more"

    (neighbour,), (its_store,) = pods_of(other, "worker"), pods_of(other, "store")
    unguarded = all_at_which_they_listen([neighbour, its_store])
    assert at(its_store, CLIENT_PORT, PROBE_PORT) < unguarded
    for foreign in (neighbour, stranger):
        assert_reaches_soon(foreign, guarded | store.listens() | unguarded, unguarded)
    for own in workers:
        assert_reaches_soon(own, guarded | store.listens(), guarded | at(store, CLIENT_PORT))

    service = known.job["status"]["rendezvous"]["endpoint"].partition("://")[2].partition(":")[0]
    assert store.ask("getent", "hosts", service), "the store may ask for names"
    assert_reaches_soon(store, unguarded, set())
    so_far = story.count_epochs(known, 3)
    job.wait("further epochs", lambda known: story.count_epochs(known, 3) >= so_far + 2)
