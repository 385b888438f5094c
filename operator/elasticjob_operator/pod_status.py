"""What stands in the status of any pod, read once for all kinds of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

IMAGE_TROUBLES = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
    }
)
"""The kubelet's words for a container whose image is not to be had."""

START_TROUBLES = IMAGE_TROUBLES | {
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}
"""The kubelet's words for a container that waits for something that time alone will not bring."""

UNSCHEDULABLE = frozenset({"Unschedulable", "SchedulingGated"})
"""The words for a pod that gets no node before something else changes."""


@dataclass(frozen=True)
class Trouble:
    """A container that cannot start, in the kubelet's words."""

    container: str
    image: str
    reason: str
    message: str


def owner_uid(metadata: Mapping[str, Any]) -> str:
    """Return the UID of the object's controller, empty if it has none."""
    owners = metadata.get("ownerReferences") or ()
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


def containers(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    entries = status.get("conditions") or ()
    return next((entry for entry in entries if entry["type"] == kind), {})


def unschedulable(status: Mapping[str, Any]) -> str:
    scheduled = condition(status, "PodScheduled")
    if scheduled.get("status") != "False" or scheduled.get("reason") not in UNSCHEDULABLE:
        return ""
    return scheduled.get("message") or "no node fits"


def trouble(status: Mapping[str, Any]) -> Trouble | None:
    for entry in containers(status):
        waiting = (entry.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in START_TROUBLES:
            return Trouble(
                entry["name"], entry.get("image", ""), waiting["reason"], waiting.get("message", "")
            )
    return None
