"""Builders for the operator's tests: a job, its pods and its store, in words.

    seen(a_job(replicas=2).told(round=1)).with_pods(a_pod(0), a_pod(1).ended(1)).build()

All are immutable; each word gives a copy.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from elasticjob_operator import api
from elasticjob_operator.last_words import LastWords
from elasticjob_operator.node_facts import Node
from elasticjob_operator.observed import (
    Drained,
    FormedRound,
    Observed,
    Refused,
    Reported,
    StoreView,
    run_id,
)
from elasticjob_operator.pod_facts import Container, WorkerPod
from elasticjob_operator.pod_status import Trouble
from elasticjob_operator.store_facts import StorePod
from rdzv_client import wire

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
JOB_UID = "0b5e6a1c-5b7e-4f54-9d3c-1f0c2a3b4c5d"
CREATED = "2026-11-23T11:00:00Z"

TEMPLATE: dict[str, Any] = {
    "spec": {"containers": [{"name": "trainer", "image": "trainer:1", "command": ["torchrun"]}]}
}


# --- job ---------------------------------------------------------------------------------------


def a_job(
    *,
    name: str = "digits",
    replicas: int = 2,
    at_least: int = 2,
    at_most: int = 4,
    status: api.ElasticJobStatus | None = None,
    template: dict[str, Any] | None = None,
    **spec: Any,
) -> api.ElasticJob:
    """Return a job; further arguments are fields of its spec."""
    return api.ElasticJob(
        metadata=api.Metadata(
            name=name, namespace="ml", uid=JOB_UID, generation=1, creation_timestamp=CREATED
        ),
        spec=api.ElasticJobSpec(
            replicas=replicas,
            min_replicas=at_least,
            max_replicas=at_most,
            template=deepcopy(template or TEMPLATE),
            **spec,
        ),
        status=status or api.ElasticJobStatus(),
    )


def manifest(name: str = "digits", **spec: Any) -> dict[str, Any]:
    """Return a job as a user writes it; arguments replace fields of its spec."""
    whole = {"replicas": 2, "minReplicas": 2, "maxReplicas": 4, "template": deepcopy(TEMPLATE)}
    return {
        "apiVersion": api.API_VERSION,
        "kind": api.KIND,
        "metadata": {"name": name},
        "spec": {**whole, **spec},
    }


# --- pods --------------------------------------------------------------------------------------


def a_pod(index: int, attempt: int = 0, *, job: str = "digits") -> WorkerPod:
    """Return a pod whose training runs."""
    return WorkerPod(
        name=f"{job}-{index}-{attempt}",
        uid=f"uid-{index}-{attempt}",
        job_uid=JOB_UID,
        index=index,
        attempt=attempt,
        phase="Running",
        node=f"node-{index % 2}",
        created_at=NOW - timedelta(seconds=60),
        training=Container("running", started_at=NOW - timedelta(seconds=50)),
    )


def pending(pod: WorkerPod) -> WorkerPod:
    return replace(pod, phase="Pending", training=Container())


def ended(pod: WorkerPod, exit_code: int, **container: Any) -> WorkerPod:
    """Return the pod with its training ended a minute ago."""
    reason = container.pop("reason", "Completed" if exit_code == 0 else "Error")
    at = container.pop("finished_at", NOW - timedelta(seconds=60))
    state = Container(
        "terminated",
        reason=reason,
        exit_code=exit_code,
        started_at=at - timedelta(seconds=5),
        finished_at=at,
        **container,
    )
    return replace(pod, phase="Failed" if exit_code else "Succeeded", training=state)


def outlived(pod: WorkerPod) -> WorkerPod:
    """Return the pod, whose training ended, with another container that still runs."""
    return replace(pod, phase="Running")


def deleting(pod: WorkerPod) -> WorkerPod:
    return replace(pod, deleting=True)


def a_node(name: str, *, unready_s: float | None = None, **fields: Any) -> Node:
    """Return a node that is ready, or has not been for so many seconds."""
    since = None if unready_s is None else NOW - timedelta(seconds=unready_s)
    return Node(name, unready_since=since, words="it posts no status" if since else "", **fields)


def stuck(pod: WorkerPod, reason: str, message: str = "") -> WorkerPod:
    """Return the pod with a container that cannot start."""
    return replace(pending(pod), trouble=Trouble("trainer", "trainer:1", reason, message))


def new(pod: WorkerPod) -> WorkerPod:
    """Return the pod before the scheduler has looked at it."""
    return replace(pending(pod), node="")


def unschedulable(pod: WorkerPod) -> WorkerPod:
    return replace(new(pod), unschedulable="0/2 nodes are available: insufficient cpu.")


def a_store_pod(**fields: Any) -> StorePod:
    """Return a pod of the store that is ready; ``ordinal`` says which."""
    name = f"digits-rdzv-{fields.pop('ordinal', 0)}"
    return StorePod(
        name,
        JOB_UID,
        **{"uid": f"uid-{name}", "created_at": NOW, "ready": True, "started": True, **fields},
    )


# --- store -------------------------------------------------------------------------------------


def a_member(pod: WorkerPod) -> wire.Member:
    """Return the record of the agent in this pod."""
    return wire.Member(
        id=f"{pod.uid}.0",
        uid=pod.uid,
        slot=pod.index,
        name=pod.name,
        node=pod.node,
        addr="10.0.0.1",
        min_nodes=2,
        max_nodes=4,
    )


def a_round(
    number: int, *pods: WorkerPod, cause: str = "start", reason: str = "all joined"
) -> FormedRound:
    """Return a round that was formed with these pods, by rank."""
    record = wire.Round(
        number=number,
        proposal=number,
        formed=number,
        phase="complete",
        cause=cause,
        reason=reason,
        world_size=len(pods),
        leader="l",
        rank0=f"{pods[0].uid}.0",
        store=wire.StoreAddress("10.0.0.1", 29500),
        seconds=0.25,
    )
    ranks = tuple(
        wire.Rank(number, "l", rank, f"{pod.uid}.0", pod.uid, pod.index, pod.name, pod.node)
        for rank, pod in enumerate(pods)
    )
    return FormedRound(record, ranks, NOW, revision=10 * number)


def progress(pod: WorkerPod, number: int, step: int, **more: Any) -> wire.Progress:
    """Return what the agent in this pod says of its training in the round of this number."""
    return wire.Progress(f"{pod.uid}.0", number, step, **more)


def settings(expected: int | None = 2, **fields: Any) -> wire.Settings:
    """Return what is told to the workers of a job of which nothing has failed yet."""
    bounds = {"min_nodes": 2, "max_nodes": 4, "expected_nodes": expected}
    return wire.Settings(**{"seq": 1, **bounds, "failures_left": 3, **fields})


# --- all of it ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """A snapshot in the making; the store answers, and knows the job's bounds."""

    observed: Observed

    def pods(self, *pods: WorkerPod) -> Seen:
        return Seen(replace(self.observed, pods=tuple(pods)))

    def store_pods(self, *pods: StorePod) -> Seen:
        return Seen(replace(self.observed, store_pods=pods))

    def store(self, **fields: Any) -> Seen:
        return Seen(replace(self.observed, store=replace(self.observed.store, **fields)))

    def silent_store(self, problem: str = "connection refused") -> Seen:
        return Seen(replace(self.observed, store=StoreView(problem=problem)))

    def members(self, *pods: WorkerPod) -> Seen:
        return self.store(members=tuple(a_member(pod) for pod in pods))

    def drained(self, *pods: WorkerPod, ago_s: float = 0.0) -> Seen:
        """Have these pods been asked to leave."""
        since = self.observed.now - timedelta(seconds=ago_s)
        return self.store(drains={pod.uid: Drained("scaled in", since) for pod in pods})

    def nodes(self, *nodes: Node) -> Seen:
        return Seen(replace(self.observed, nodes={node.name: node for node in nodes}))

    def sees_nodes(self, *, sees: bool) -> Seen:
        return Seen(replace(self.observed, sees_nodes=sees))

    def rounds(self, *rounds: FormedRound, phase: str = "complete") -> Seen:
        """Have these rounds seen formed; the last one is now in ``phase``."""
        now = replace(rounds[-1].record, phase=phase)
        return self.store(formed=tuple(rounds), round=now)

    def steps(self, step: int, *pods: WorkerPod, ago_s: float = 0.0, **more: Any) -> Seen:
        """Have the workers in these pods said so long ago that they have done this step."""
        store, at = self.observed.store, self.observed.now - timedelta(seconds=ago_s)
        assert store.round
        number = store.round.number
        new = [Reported(progress(pod, number, step, **more), at, at) for pod in pods]
        known = {told.said.id: told for told in (*store.progress, *new)}
        return self.store(progress=tuple(known.values()))

    def refused(self, *, ago_s: float = 0.0, times: int = 1) -> Seen:
        """Have the API server refused the last pods."""
        at = self.observed.now - timedelta(seconds=ago_s)
        words = "the API server refuses the pod digits-1-0: exceeded quota: few"
        return Seen(replace(self.observed, refused=Refused(words, at, times)))

    def later(self, seconds: float) -> Seen:
        return Seen(replace(self.observed, now=self.observed.now + timedelta(seconds=seconds)))

    def said(self, last_words: dict[str, str], exit_code: int | None = None) -> Seen:
        """Have workers that failed in pods that live on say this, by pod."""
        words = {pod: LastWords(line, exit_code) for pod, line in last_words.items()}
        return Seen(replace(self.observed, last_words=words))

    def told(self, status: api.ElasticJobStatus) -> Seen:
        job = self.observed.job.model_copy(update={"status": status})
        return Seen(replace(self.observed, job=job))

    def wants(self, **spec: Any) -> Seen:
        """Have the user edit the spec."""
        job = self.observed.job
        edited = job.model_copy(update={"spec": job.spec.model_copy(update=spec)})
        return Seen(replace(self.observed, job=edited))


def seen(job: api.ElasticJob | None = None) -> Seen:
    """Return a snapshot of a job without pods, whose store answers and has its settings."""
    store = StoreView(reachable=True, revision=1, settings=settings())
    return Seen(Observed(now=NOW, job=job or a_job(), store_pods=(a_store_pod(),), store=store))


RUN_ID = run_id(a_job())
