"""A real API server with its controllers, a real etcd for rounds, and the operator as a process.

There is no kubelet: a test plays it by writing the status of pods, and it plays the workers by
writing their records into the store.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import builders
import pytest
from etcd_server import Etcd

from benchmarks.scale import audit
from localcluster import binaries, controlplane
from rdzv_client import wire
from rdzv_client.etcdv3 import Client, messages

ROOT = Path(__file__).parents[2]
LIMIT_S = 30.0
LOOK_AGAIN_S = 0.1


def until(condition, what, limit_s=LIMIT_S):
    """Return the condition's first true value."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {limit_s:.0f} s for {what}, in vain"
        time.sleep(LOOK_AGAIN_S)
    return value


# --- servers -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def plane(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plane")
    flags = audit.flags(folder)
    with controlplane.running(folder / "plane", controllers=True, server_flags=flags) as plane:
        serve_jobs(plane)
        yield plane


@pytest.fixture(scope="session")
def scheduling_plane(tmp_path_factory):
    """A plane with a real scheduler and gang scheduling, for nodes that nothing runs on."""
    folder, features = tmp_path_factory.mktemp("scheduling"), ["GenericWorkload"]
    with controlplane.running(
        folder / "plane", controllers=True, scheduling=True, features=features
    ) as plane:
        serve_jobs(plane)
        yield plane


def serve_jobs(plane):
    crd = ROOT / "crds" / "elasticjobs.yaml"
    kubectl = Kubectl(plane.kubeconfig)
    kubectl("apply", "--server-side", f"--filename={crd}")
    kubectl("wait", "--for=condition=Established", "crd/elasticjobs.rdzv.dev")
    until(lambda: kubectl.tried("get", "elasticjobs").returncode == 0, "the new resource")


@pytest.fixture(scope="session")
def etcd_url(tmp_path_factory):
    etcd = Etcd(tmp_path_factory.mktemp("etcd")).start()
    yield etcd.url
    etcd.kill()


@pytest.fixture
def etcd(tmp_path):
    """A store of the test's own, to be mistreated."""
    etcd = Etcd(tmp_path).start()
    yield etcd
    etcd.kill()


# --- kubectl -----------------------------------------------------------------------------------


class Kubectl:
    """kubectl, in one namespace."""

    def __init__(self, kubeconfig, namespace="default"):
        self.kubeconfig, self.namespace = kubeconfig, namespace
        self._program = binaries.ensure(["kubectl"])["kubectl"]

    def tried(self, *arguments, given=None):
        return subprocess.run(
            [self._program, f"--namespace={self.namespace}", *arguments],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=given,
            text=True,
            capture_output=True,
            check=False,
        )

    def __call__(self, *arguments, given=None):
        done = self.tried(*arguments, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, manifest):
        """Return the API server's words about what it does not take."""
        done = self.tried("create", "--filename=-", given=json.dumps(manifest))
        assert done.returncode != 0, f"this was taken: {manifest}"
        return done.stderr

    def create(self, manifest):
        self("create", "--filename=-", given=json.dumps(manifest))

    def get(self, kind, name=None):
        """Return the object, or None; without a name the list."""
        done = self.tried("get", kind, *([name] if name else []), "--output=json")
        if done.returncode != 0:
            return None
        found = json.loads(done.stdout)
        return found if name else found["items"]

    def names(self, kind):
        return sorted(found["metadata"]["name"] for found in self.get(kind))

    def patch_status(self, kind, name, status):
        patch = json.dumps({"status": status})
        self("patch", kind, name, "--subresource=status", "--type=merge", f"--patch={patch}")


@contextmanager
def a_namespace(plane):
    """kubectl in a namespace of its own, which goes with the test."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    Kubectl(plane.kubeconfig)("create", "namespace", namespace)
    kubectl = Kubectl(plane.kubeconfig, namespace)
    until(lambda: kubectl.get("serviceaccount", "default"), "the namespace's own account")
    yield kubectl
    Kubectl(plane.kubeconfig)("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def kubectl(plane):
    """kubectl in a namespace of the test's own."""
    with a_namespace(plane) as kubectl:
        yield kubectl


# --- the operator ------------------------------------------------------------------------------


class Operator:
    """The operator's process, under a name of its own."""

    def __init__(self, plane, kubectl, log, *, groups=("system:masters",), server=None, **settings):
        self._log = log
        self._calls_log, self._began = audit.log(plane.folder.parent), time.time()
        path = log.with_suffix(".kubeconfig")
        kubeconfig = plane.kubeconfig_for(audit.USER, path=path, groups=groups)
        if server:  # it stands before the API server
            kubeconfig.write_text(kubeconfig.read_text().replace(plane.url, server))
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "ELASTICJOB_OPERATOR_NAMESPACE": kubectl.namespace,
            "ELASTICJOB_OPERATOR_KEY_REF": f"{kubectl.namespace}/elasticjob-operator-key",
            "ELASTICJOB_OPERATOR_PROBE_PORT": "0",
            "ELASTICJOB_OPERATOR_METRICS_PORT": "0",
            **{f"ELASTICJOB_OPERATOR_{name}": value for name, value in settings.items()},
        }
        self._process = None

    def start(self):
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "elasticjob_operator"], env=self._environment, stderr=log
            )

    def is_alive(self):
        return self._process.poll() is None

    def kill(self):
        self._process.kill()
        self._process.wait()

    def send(self, number):
        """Send it this signal."""
        self._process.send_signal(number)

    def stop(self):
        """Ask it to end; return its exit status."""
        self.send(signal.SIGTERM)
        return self.wait()

    def wait(self):
        """Return its exit status."""
        return self._process.wait(timeout=LIMIT_S)

    @property
    def log(self):
        return self._log.read_text()

    def until_logged(self, words, limit_s=LIMIT_S):
        until(lambda: words in self.log, f"the operator to say: {words}", limit_s)

    def calls(self):
        """Return what it has asked of the API server, as the server itself tells it."""
        return audit.read(self._calls_log, self._began)


@contextmanager
def operating(plane, kubectl, folder, name="operator", **settings):
    """An operator of kubectl's namespace."""
    operator = Operator(plane, kubectl, folder / f"{name}.log", **settings)
    operator.start()
    yield operator
    operator.kill()
    print(operator.log)
    assert "the operator has a fault here" not in operator.log


@pytest.fixture
def operators(plane, kubectl, tmp_path):
    """Starts operators, each with settings of its own: `one = operators(WORKERS="2")`.

    `server` is where they find the API server, if not where it is.
    """
    with ExitStack() as stack:
        numbers = itertools.count()

        def start(**settings):
            name = f"operator-{next(numbers)}"
            return stack.enter_context(operating(plane, kubectl, tmp_path, name, **settings))

        yield start


@pytest.fixture
def operator(operators):
    return operators()


# --- the kubelet's and the workers' part ---------------------------------------------------------


class Job:
    """A job in the cluster, its pods and its rounds."""

    def __init__(self, kubectl, client, manifest):
        self.kubectl, self._client = kubectl, client
        self.name = manifest["metadata"]["name"]
        kubectl.create(manifest)
        uid = kubectl.get("elasticjob", self.name)["metadata"]["uid"]
        self.keys = wire.Keys(f"{uid}-0")
        self._names = {}

    @property
    def status(self):
        found = self.kubectl.get("elasticjob", self.name)
        return (found or {}).get("status", {})

    def condition(self, kind):
        found = [c for c in self.status.get("conditions", []) if c["type"] == kind]
        return found[0] if found else {"status": "", "reason": "", "message": ""}

    def until_condition(self, kind, reason, status="True"):
        def holds():
            found = self.condition(kind)
            return found if (found["reason"], found["status"]) == (reason, status) else None

        return until(holds, f"{kind}={status} because of {reason}; now {self.status}")

    def until(self, condition, what, limit_s=LIMIT_S):
        return until(condition, f"{what}; now {self.status}", limit_s)

    def until_pods(self, *names):
        until(lambda: self.pods() == sorted(names), f"the pods {names}")

    def until_event(self, reason, message):
        until(lambda: (reason, message) in self.events(), f"the event {reason}: {message}")

    def pods(self):
        """Return the names of the job's worker pods that are not being deleted."""
        return sorted(
            pod["metadata"]["name"]
            for pod in self.kubectl.get("pods")
            if pod["metadata"]["labels"].get("rdzv.dev/job") == self.name
            and "deletionTimestamp" not in pod["metadata"]
        )

    def events(self):
        """Return the events about this job: reason and message."""
        return [
            (event["reason"], event["message"])
            for event in self.kubectl.get("events")
            if event["involvedObject"]["name"] == self.name
        ]

    def reasons(self):
        return sorted(reason for reason, _ in self.events())

    def start(self):
        """Bring up two workers in round 1; return the job."""
        pods = [f"{self.name}-0-0", f"{self.name}-1-0"]
        self.until_pods(*pods)
        self.run(*pods)
        self.join(*pods)
        self.form(1, *pods)
        self.until_condition("Ready", "RoundFormed")
        return self

    # as the kubelet

    def run(self, *pods):
        for pod in pods:
            state = {"running": {"startedAt": "2026-11-23T12:00:00Z"}}
            self._report(pod, "Running", state)

    def end(self, pod, code, **more):
        at = {"startedAt": "2026-11-23T12:00:00Z", "finishedAt": "2026-11-23T12:00:10Z"}
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", **at, **more}
        self._report(pod, "Failed" if code else "Succeeded", {"terminated": ended})

    def wait_in_vain(self, pod, reason, message):
        self._report(pod, "Pending", {"waiting": {"reason": reason, "message": message}})

    def _report(self, pod, phase, state):
        entry = {
            "name": "trainer",
            "image": "trainer:1",
            "imageID": "",
            "ready": "running" in state,
            "restartCount": 0,
            "state": state,
        }
        self.kubectl.patch_status("pod", pod, {"phase": phase, "containerStatuses": [entry]})

    def remove(self, pod):
        """Delete the pod as a node that is gone would have it."""
        self.kubectl("delete", "pod", pod, "--grace-period=0", "--force")

    # as the workers

    def join(self, *pods):
        for pod in pods:
            self.put_member(builders.a_member(self._as_seen(pod)))

    def put_member(self, member):
        self._client.put(self.keys.member(member.slot, member.id), wire.encode(member))

    def leave(self, pod, cause):
        """Have this pod's member leave for good."""
        member = builders.a_member(self._as_seen(pod))
        left = wire.Left(member.id, member.uid, member.slot, member.name, cause, f"it {cause}")
        gone = messages.delete(self.keys.member(member.slot, member.id))
        self._client.txn([], [messages.put(self.keys.left(member.id), wire.encode(left)), gone])

    def form(self, number, *pods, **words):
        """Have these pods form a round."""
        formed = builders.a_round(number, *map(self._as_seen, pods), **words)
        ranks = [messages.put(self.keys.rank(r.id), wire.encode(r)) for r in formed.ranks]
        proposed = replace(formed.record, phase="proposed", store=None)
        self._client.txn([], [*ranks, messages.put(self.keys.round, wire.encode(proposed))])
        self._client.put(self.keys.round, wire.encode(formed.record))

    def _as_seen(self, pod):
        found = self.kubectl.get("pod", pod)
        index, attempt = map(int, pod.rsplit("-", 2)[1:])
        return replace(builders.a_pod(index, attempt, job=self.name), uid=found["metadata"]["uid"])

    # in the store

    def settings(self):
        found = self._client.get(self.keys.settings)
        return found and wire.decode(wire.Settings, self.keys.settings, found.value)

    def gone(self):
        found = self._client.get_prefix(self.keys.gone_prefix)
        return [wire.decode(wire.Gone, kv.key, kv.value) for kv in found.kvs]

    def drained(self):
        """Return the pods that were asked to leave, and why."""
        found = self._client.get_prefix(self.keys.drain_prefix)
        drains = [wire.decode(wire.Drain, kv.key, kv.value) for kv in found.kvs]
        names = {
            pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in self.kubectl.get("pods")
        }
        self._names = {**self._names, **names}
        return {self._names[d.uid]: d.reason for d in sorted(drains, key=lambda d: d.uid)}

    def members(self):
        found = self._client.get_prefix(self.keys.members)
        return [wire.decode(wire.Member, kv.key, kv.value).name for kv in found.kvs]

    def empty_store(self):
        self._client.delete_prefix(self.keys.prefix)

    def is_emptied(self):
        return not self._client.get_prefix(self.keys.prefix).kvs


def jobs(kubectl, client, url):
    """Return what creates jobs whose workers meet in the etcd there."""

    def create(name="digits", **spec):
        rendezvous = {"etcd": {"endpoints": [url]}}
        manifest = builders.manifest(name, **{"rendezvous": rendezvous, **spec})
        return Job(kubectl, client, manifest)

    return create


@pytest.fixture
def job(kubectl, etcd_url):
    """Creates jobs whose workers meet in the test's etcd."""
    with Client([etcd_url]) as client:
        yield jobs(kubectl, client, etcd_url)


@pytest.fixture
def job_in(kubectl):
    """Creates jobs that meet in an etcd of the test's own: `job_in(client, rendezvous=...)`."""
    return lambda client, **spec: jobs(kubectl, client, "")(**spec)


@pytest.fixture
def job_elsewhere(plane, etcd_url, tmp_path):
    """Creates jobs in another namespace, with an operator of its own, in the same etcd."""
    (folder := tmp_path / "elsewhere").mkdir()
    with (
        a_namespace(plane) as kubectl,
        operating(plane, kubectl, folder),
        Client([etcd_url]) as client,
    ):
        yield jobs(kubectl, client, etcd_url)
