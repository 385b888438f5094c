"""A job of which a test plays the kubelet, and the workers by their records in the store."""

from dataclasses import replace

import builders
from kubectl import LIMIT_S, until

from rdzv_client import wire
from rdzv_client.etcdv3 import messages


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
            self.put_member(builders.a_member(self.as_seen(pod)))

    def put_member(self, member):
        self._client.put(self.keys.member(member.slot, member.id), wire.encode(member))

    def leave(self, pod, cause):
        """Have this pod's member leave for good."""
        member = builders.a_member(self.as_seen(pod))
        left = wire.Left(member.id, member.uid, member.slot, member.name, cause, f"it {cause}")
        gone = messages.delete(self.keys.member(member.slot, member.id))
        self._client.txn([], [messages.put(self.keys.left(member.id), wire.encode(left)), gone])

    def form(self, number, *pods, **words):
        """Have these pods form a round."""
        self.put_round(builders.a_round(number, *map(self.as_seen, pods), **words))

    def put_round(self, formed):
        ranks = [messages.put(self.keys.rank(r.id), wire.encode(r)) for r in formed.ranks]
        proposed = replace(formed.record, phase="proposed", store=None)
        self._client.txn([], [*ranks, messages.put(self.keys.round, wire.encode(proposed))])
        self._client.put(self.keys.round, wire.encode(formed.record))

    def say(self, pod, number, step, **more):
        """Have the worker in this pod say how far it has come in the round of this number."""
        said = builders.progress(self.as_seen(pod), number, step, **more)
        self._client.put(self.keys.steps(said.id), wire.encode(said))

    def as_seen(self, pod):
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

    def sites(self):
        """Return where the nodes stand, as the workers are told."""
        found = self._client.get_prefix(self.keys.site_prefix)
        sites = [wire.decode(wire.Site, kv.key, kv.value) for kv in found.kvs]
        return {site.node: site.topology for site in sites}

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
