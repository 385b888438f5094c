"""Network policies, enforced by an agent on each node: a job's pods are open to nobody else.

Another job without policies is the measure: whoever is cut off from the one reaches the other.
"""

import dataclasses
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from examples.demo import story
from localcluster import policies

CLIENT_PORT, PEER_PORT, PROBE_PORT = 2379, 2380, 2381
TCP_STORE_PORT, BRIDGE_PORT = 29400, 29401
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
        script = f'for at in "$@"; do ({CONNECT} && echo "$at") & done; wait'
        return set(self.ask("bash", "-c", script, "connect", *sorted(places)).split())


pytestmark = pytest.mark.skipif(
    "ELASTICJOB_E2E_NETWORK" not in os.environ,
    reason="its agent, which is built for this test alone, takes minutes: `make test-network`",
)


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


class Site:
    """A job's pods, and all at which they listen."""

    def __init__(self, job):
        self.workers, self.stores = self._pods(job, "worker"), self._pods(job, "store")
        self.at_workers, self.at_stores = map(all_of, (self.workers, self.stores))
        self.everything = self.at_workers | self.at_stores

    def _pods(self, job, role):
        selector = f"--selector=rdzv.dev/job={job.name},rdzv.dev/role={role}"
        found = json.loads(job.tools.ask("kubectl", "get", "pods", selector, "--output=json"))
        pods = ((pod["metadata"]["name"], pod["status"]["podIP"]) for pod in found["items"])
        return [Pod(job.tools, name, address) for name, address in pods]


def all_of(pods):
    with ThreadPoolExecutor() as pool:
        return set().union(*pool.map(Pod.listens, pods))


def at(pods, *ports):
    return {f"{pod.address}/{port}" for pod in pods for port in ports}


def assert_each_reaches_soon(expected, everything):
    """Each pod, of all that is not its own, reaches what is expected of it."""

    def look(pod):
        others = {place for place in everything if not place.startswith(f"{pod.address}/")}
        deadline = time.monotonic() + AGENT_LIMIT_S
        while (found := pod.reaches(others)) != expected[pod] & others:
            assert time.monotonic() < deadline, (pod.name, found ^ expected[pod] & others)

    with ThreadPoolExecutor() as pool:
        list(pool.map(look, expected))


def test_jobs_train_and_nobody_but_their_own_pods_reaches_them(enforced, run, manifest, stranger):
    one = {"ticking": True, "minReplicas": 1, "replicas": 1}
    jobs = [
        run(manifest(epochs=9000, width=8, rendezvous={"etcd": {"members": 3}})),
        run(manifest("hosted", **one, rendezvous={"backend": "c10d"})),
        run(manifest("other", **one, networkPolicy="None")),
    ]
    job, *others = jobs
    job.wait("an epoch of two workers", lambda known: story.count_epochs(known, 2) >= 1)
    job.scale(3)
    known = job.wait("an epoch of three workers", lambda known: story.count_epochs(known, 3) >= 1)
    for each in others:
        each.wait("an epoch", lambda known: story.count_epochs(known, 1) >= 1)
    for each in jobs:
        each.wait("the operator to be let in", lambda known: known.holds("RendezvousReady"))

    digits, hosted, other = map(Site, jobs)
    assert len(digits.stores) == 3
    assert digits.at_stores == at(digits.stores, CLIENT_PORT, PEER_PORT, PROBE_PORT)
    assert hosted.at_stores == at(hosted.stores, TCP_STORE_PORT, BRIDGE_PORT)
    assert other.at_stores == at(other.stores, CLIENT_PORT, PROBE_PORT)
    first = [pod for pod in digits.workers if pod.name == known.rounds[-1].members[0]]
    (master_port,) = set(first[0].ask("sh", "-c", MASTER_PORT).split())
    assert at(first, master_port) < digits.at_workers, "the workers' own sockets are more"

    expected = dict.fromkeys((*other.workers, stranger), other.everything)
    for site, port in ((digits, CLIENT_PORT), (hosted, TCP_STORE_PORT)):
        own = site.at_workers | at(site.stores, port)
        expected |= dict.fromkeys(site.workers, own | other.everything)
    expected |= dict.fromkeys(digits.stores, at(digits.stores, PEER_PORT))
    expected |= dict.fromkeys(hosted.stores, frozenset())
    assert_each_reaches_soon(expected, digits.everything | hosted.everything | other.everything)
    host = known.job["status"]["rendezvous"]["endpoint"].partition("://")[2].partition(":")[0]
    assert digits.stores[0].ask("getent", "hosts", host), "a store may ask for names"
    so_far = story.count_epochs(known, 3)
    job.wait("further epochs", lambda known: story.count_epochs(known, 3) >= so_far + 2)
