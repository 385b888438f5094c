"""Workers' pods, reduced to what the operator needs of them.

Reading is done once, here; everything that decides works on these records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from elasticjob_operator import api, labels, pod_status
from elasticjob_operator.pod_status import Trouble
from elasticjob_operator.timestamps import EPOCH, instant

OF_THE_START = frozenset(
    {"PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"}
)
"""Conditions that every pod has, and that say nothing of its end."""

_NUMBER = re.compile("[0-9]{1,9}")

CANNOT_START = frozenset({"StartError", "ContainerCannotRun"})
"""The words for a container whose command could not even be started."""


@dataclass(frozen=True)
class Container:
    """The state of one container."""

    state: Literal["waiting", "running", "terminated"] = "waiting"
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True)
class PodCondition:
    """A condition of a pod that is not about its start."""

    type: str
    status: str
    reason: str


@dataclass(frozen=True)
class WorkerPod:
    """What the operator keeps of a worker's pod.

    Attributes:
        training: The container that runs torchrun.
        failed_init: An init container that failed, with its name as ``container``.
        unschedulable: Why it gets no node, in the scheduler's words, or that gates hold it back.
        disruption: Why Kubernetes took the pod away, when it did.
        phase_reason: The kubelet's word for a pod that it ended or refused, such as Evicted.
        exit_codes: Of all containers that ended, by name.
        conditions: Those that are not about the pod's start.
        lost: What became of its node, if the pod is lost with it; else empty.
        blueprint: The digest of what it was made from.
        client: The image of the rendezvous client that was brought into it.
        topology_key: The label by which it says where it runs, if it is to say so.
        topology: What it says, if it has that label itself.
    """

    name: str
    uid: str
    job_uid: str
    index: int
    attempt: int
    phase: str = "Pending"
    node: str = ""
    created_at: datetime = EPOCH
    deleting: bool = False
    training: Container = Container()
    failed_init: Trouble | None = None
    init_exit_code: int | None = None
    trouble: Trouble | None = None
    unschedulable: str = ""
    disruption: str = ""
    phase_reason: str = ""
    phase_message: str = ""
    exit_codes: tuple[tuple[str, int], ...] = ()
    conditions: tuple[PodCondition, ...] = ()
    lost: str = ""
    blueprint: str = ""
    client: str = ""
    topology_key: str = ""
    topology: str = ""

    @property
    def ended(self) -> bool:
        """Whether training in this pod is over for good, well or badly."""
        return self.training.state == "terminated" or self.phase in {"Succeeded", "Failed"}

    @property
    def succeeded(self) -> bool:
        return self.training.state == "terminated" and self.training.exit_code == 0

    @property
    def failed(self) -> bool:
        """Whether its training ended, and not by success."""
        return self.ended and not self.succeeded

    @property
    def gone(self) -> bool:
        """Whether its member must leave the round: it failed, or is lost with its node."""
        return self.failed or bool(self.lost)

    @property
    def alive(self) -> bool:
        """Whether its training runs, or may yet."""
        return not (self.ended or self.deleting or self.lost)

    @property
    def occupied(self) -> bool:
        """Whether it still holds what its node gave it; sidecars may outlive the training."""
        return self.phase not in {"Succeeded", "Failed"}

    @property
    def running(self) -> bool:
        return self.training.state == "running" and not (self.ended or self.lost)

    @property
    def holds_slot(self) -> bool:
        """Whether no other pod is needed for its index."""
        return self.succeeded or self.alive

    @property
    def expected(self) -> bool:
        """Whether its training runs, or will within seconds."""
        blocked = self.trouble is not None or self.unschedulable
        return self.alive and not blocked

    def saying(self, log: str) -> WorkerPod:
        """Return the pod with its training's message replaced by its log, where there is one."""
        if not log.strip() or self.training.state != "terminated":
            return self
        return replace(self, training=replace(self.training, message=log))

    @property
    def placed(self) -> bool:
        """Whether it has a node."""
        return bool(self.node)

    @property
    def ended_at(self) -> datetime:
        return self.training.finished_at or self.created_at


def is_worker(body: Mapping[str, Any]) -> bool:
    """Whether the pod has the labels of a worker; anybody can give a pod labels."""
    tags = body["metadata"].get("labels") or {}
    if tags.get(labels.ROLE) != labels.WORKER or labels.JOB not in tags:
        return False
    index, attempt = (_NUMBER.fullmatch(tags.get(n, "")) for n in (labels.INDEX, labels.ATTEMPT))
    return bool(index and attempt and int(index[0]) < api.MAX_REPLICAS)


def worker_pod(body: Mapping[str, Any]) -> WorkerPod:
    """Reduce a worker's pod to what the operator needs of it."""
    metadata, status = body["metadata"], body.get("status") or {}
    tags = metadata.get("labels") or {}
    notes = metadata.get("annotations") or {}
    training = notes.get(labels.TRAINING_CONTAINER, "")
    states = {entry["name"]: entry for entry in status.get("containerStatuses") or ()}
    failed_init, init_exit_code = _failed_init(status)
    return WorkerPod(
        name=metadata["name"],
        uid=metadata["uid"],
        job_uid=pod_status.owner_uid(metadata),
        index=int(tags[labels.INDEX]),
        attempt=int(tags[labels.ATTEMPT]),
        phase=status.get("phase", "Pending"),
        node=(body.get("spec") or {}).get("nodeName") or "",
        created_at=instant(metadata.get("creationTimestamp")) or EPOCH,
        deleting=bool(metadata.get("deletionTimestamp")),
        training=_container(states.get(training, {}).get("state") or {}),
        failed_init=failed_init,
        init_exit_code=init_exit_code,
        trouble=pod_status.trouble(status),
        unschedulable=pod_status.unschedulable(status),
        disruption=_disruption(status),
        phase_reason=status.get("reason") or "",
        phase_message=status.get("message") or "",
        exit_codes=tuple(_exit_codes(status)),
        conditions=tuple(_conditions(status)),
        blueprint=notes.get(labels.BLUEPRINT, ""),
        client=_client(body.get("spec") or {}),
        topology_key=notes.get(labels.TOPOLOGY_KEY, ""),
        topology=_topology(body, notes.get(labels.TOPOLOGY_KEY, "")),
    )


def _topology(body: Mapping[str, Any], key: str) -> str:
    if key == labels.HOSTNAME:
        return (body.get("spec") or {}).get("nodeName") or ""
    return str((body["metadata"].get("labels") or {}).get(key, ""))


def _client(spec: Mapping[str, Any]) -> str:
    """Return the image that brings the rendezvous client, empty if none does."""
    images = {entry["name"]: entry.get("image") for entry in spec.get("initContainers") or ()}
    return images.get(labels.CLIENT) or ""


def _container(state: Mapping[str, Any]) -> Container:
    if ended := state.get("terminated"):
        return Container(
            state="terminated",
            reason=ended.get("reason") or "",
            message=ended.get("message") or "",
            exit_code=ended.get("exitCode"),
            signal=ended.get("signal") or 0,
            started_at=instant(ended.get("startedAt")),
            finished_at=instant(ended.get("finishedAt")),
        )
    if running := state.get("running"):
        return Container(state="running", started_at=instant(running.get("startedAt")))
    waiting = state.get("waiting") or {}
    return Container(reason=waiting.get("reason") or "", message=waiting.get("message") or "")


def _exit_codes(status: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for entry in pod_status.containers(status):
        ended = (entry.get("state") or {}).get("terminated")
        if ended:
            yield entry["name"], ended.get("exitCode", 0)


def _conditions(status: Mapping[str, Any]) -> Iterator[PodCondition]:
    for entry in status.get("conditions") or ():
        if entry["type"] not in OF_THE_START:
            yield PodCondition(entry["type"], entry.get("status", ""), entry.get("reason") or "")


def _failed_init(status: Mapping[str, Any]) -> tuple[Trouble | None, int | None]:
    for entry in status.get("initContainerStatuses") or ():
        ended = (entry.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            words = Trouble(
                entry["name"],
                entry.get("image", ""),
                ended.get("reason") or "Error",
                ended.get("message") or "",
            )
            return words, ended["exitCode"]
    return None, None


def _disruption(status: Mapping[str, Any]) -> str:
    target = pod_status.condition(status, "DisruptionTarget")
    if target.get("status") != "True":
        return ""
    return f"{target.get('reason', '')}: {target.get('message', '')}".strip(": ")


def by_age(pods: Iterable[WorkerPod]) -> list[WorkerPod]:
    """Return the pods by index, and by attempt within."""
    return sorted(pods, key=lambda pod: (pod.index, pod.attempt))
