"""Pods of a rendezvous store, reduced to what the operator needs of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from elasticjob_operator import labels, pod_status
from elasticjob_operator.pod_status import Trouble
from elasticjob_operator.timestamps import EPOCH, instant

REFUSALS = (
    "has already been bootstrapped",
    "cannot fetch cluster info from peer urls",
    "error validating peerURLs",
    "Was the raft log corrupted, truncated, or lost?",
)
"""etcd's words when its disk is not the one that the other members know it by."""


@dataclass(frozen=True)
class StorePod:
    """What the operator keeps of a pod of the job's own etcd.

    Attributes:
        started: Whether its container has ever run: its disk may then have something on it.
        ended: Whether its container has ended, and does not run again yet.
        refusal: Why the other members do not let it in, in the words with which it ended.
    """

    name: str
    job_uid: str
    uid: str = ""
    node: str = ""
    created_at: datetime = EPOCH
    ready: bool = False
    deleting: bool = False
    started: bool = False
    ended: bool = False
    refusal: str = ""
    trouble: Trouble | None = None
    unschedulable: str = ""


def store_pod(body: Mapping[str, Any]) -> StorePod:
    """Reduce the store's pod to what the operator needs of it."""
    metadata, status = body["metadata"], body.get("status") or {}
    ready = pod_status.condition(status, "Ready")
    return StorePod(
        name=metadata["name"],
        job_uid=(metadata.get("annotations") or {}).get(labels.JOB_UID, ""),
        uid=metadata.get("uid", ""),
        node=(body.get("spec") or {}).get("nodeName") or "",
        created_at=instant(metadata.get("creationTimestamp")) or EPOCH,
        ready=ready.get("status") == "True",
        deleting="deletionTimestamp" in metadata,
        started=any(_started(entry) for entry in pod_status.containers(status)),
        ended=any(_ended(entry) for entry in pod_status.containers(status)),
        refusal=next(filter(None, map(_refusal, pod_status.containers(status))), ""),
        trouble=pod_status.trouble(status) or _crash_loop(status),
        unschedulable=pod_status.unschedulable(status),
    )


def _crash_loop(status: Mapping[str, Any]) -> Trouble | None:
    """Return the container that ends each time that it is started, with its last words."""
    for entry in pod_status.containers(status):
        waiting = (entry.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") == "CrashLoopBackOff":
            last = _ended(entry)
            said = (last.get("message") or "").strip().rpartition("\n")[2]
            words = said or f"it ends with exit code {last.get('exitCode')}"
            return Trouble(entry["name"], entry.get("image", ""), waiting["reason"], words)
    return None


def _started(entry: Mapping[str, Any]) -> bool:
    state = entry.get("state") or {}
    return bool(entry.get("restartCount")) or not {"running", "terminated"}.isdisjoint(state)


def _ended(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how the container ended, if it does not run again yet."""
    state, last = entry.get("state") or {}, entry.get("lastState") or {}
    return state.get("terminated") or ("waiting" in state and last.get("terminated")) or {}


def _refusal(entry: Mapping[str, Any]) -> str:
    """Return etcd's reason to end, if it is that the others know it no more, or otherwise."""
    said = _ended(entry).get("message") or ""
    return next((words for words in REFUSALS if words in said), "")
