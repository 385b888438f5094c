"""The closed set of effects that a plan may ask for, carried out in the order of the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elasticjob_operator.provisioning.objects import Reference
from rdzv_client import wire

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Provision:
    """Make sure that these objects are as written (server-side apply), and follow the store."""

    manifests: tuple[Manifest, ...]


@dataclass(frozen=True)
class FollowStore:
    """Follow the store without making it."""


@dataclass(frozen=True)
class WriteSettings:
    """Tell the workers, through the store, what is wanted."""

    settings: wire.Settings


@dataclass(frozen=True)
class TellSites:
    """Tell the workers, through the store, where nodes stand."""

    sites: tuple[wire.Site, ...]


@dataclass(frozen=True)
class Drain:
    """Ask these pods to leave the rendezvous in good order, all at once."""

    uids: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class MarkGone:
    """Take a pod that will never come back out of the rendezvous."""

    uid: str
    reason: str


@dataclass(frozen=True)
class ConfirmGone:
    """Ask the API server for a pod that only the store knows; mark it gone if it is not there."""

    name: str
    uid: str


@dataclass(frozen=True)
class Autoscale:
    """Make sure of the job's autoscaler. A wrong one is in nobody's way: it comes last of all."""

    manifest: Manifest


@dataclass(frozen=True)
class StopAutoscaling:
    """Delete the job's autoscaler."""

    autoscaler: Reference


@dataclass(frozen=True)
class CreatePod:
    """Make a worker's pod."""

    name: str
    index: int
    attempt: int
    manifest: Manifest


@dataclass(frozen=True)
class DeletePod:
    """Delete exactly this pod, giving it its own grace period, or ``at_once`` none."""

    name: str
    uid: str
    reason: str
    at_once: bool = False


@dataclass(frozen=True)
class DeleteJob:
    """Delete the job itself, and with it all that was made for it."""

    reason: str


@dataclass(frozen=True)
class RemoveStore:
    """Take down the store that was provisioned for the job, or what of it is to be made anew."""

    objects: tuple[Reference, ...]


@dataclass(frozen=True)
class TryPod:
    """Have a pod made that its StatefulSet has not made, or hear why it is not taken."""

    name: str
    stateful_set: Manifest


@dataclass(frozen=True)
class ReadmitMember:
    """Let a member of the store that lost its disk come back: it is another one by then."""

    pod: str
    uid: str
    peer_url: str


@dataclass(frozen=True)
class EmptyStore:
    """Delete what the job left in a store that is not its own; nobody needs it now."""


Action = (
    Provision
    | FollowStore
    | WriteSettings
    | TellSites
    | Drain
    | MarkGone
    | ConfirmGone
    | Autoscale
    | StopAutoscaling
    | CreatePod
    | DeletePod
    | DeleteJob
    | RemoveStore
    | TryPod
    | ReadmitMember
    | EmptyStore
)
