"""The record of who leads: a coordination.k8s.io Lease, with client-go's fields and rules.

Clocks of two machines are never compared: a lease is over when it was not seen to change for as
long as it says, on the observer's own clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

Manifest = dict[str, Any]

VERSION: Final = "coordination.k8s.io/v1"
KIND: Final = "Lease"
DURATION_S: Final = 15
"""client-go's default; who does not renew for so long leads no longer."""
DURATION_MAX_S: Final = 3600


@dataclass(frozen=True)
class Sighting:
    """A lease as it was last seen to change.

    Attributes:
        version: Its resource version.
        holder: Who leads; nobody when empty.
        duration_s: For how long, from its last change on.
        at: When the change was seen, in seconds of the observer's own clock.
    """

    version: str
    holder: str
    duration_s: float
    at: float

    def is_free(self, now: float) -> bool:
        """Return whether anybody may take it."""
        return not self.holder or now >= self.at + self.duration_s


def see(found: Manifest, before: Sighting | None, now: float) -> Sighting:
    """Return what is seen now, given what was seen before."""
    version = str(found["metadata"].get("resourceVersion", ""))
    if before and before.version == version:
        return before
    spec = _spec(found)
    duration_s = spec.get("leaseDurationSeconds")
    if not isinstance(duration_s, int) or not 0 < duration_s <= DURATION_MAX_S:
        duration_s = DURATION_S
    return Sighting(version, str(spec.get("holderIdentity") or ""), duration_s, now)


def new(namespace: str, name: str, holder: str, now: datetime) -> Manifest:
    """Return the first lease of this name."""
    metadata = {"namespace": namespace, "name": name}
    empty = {"apiVersion": VERSION, "kind": KIND, "metadata": metadata}
    return _held(empty, holder, now, transitions=0, acquired=_micro(now))


def taken(found: Manifest, holder: str, now: datetime) -> Manifest:
    """Return the lease in another's hands."""
    before = _spec(found).get("leaseTransitions")
    transitions = before + 1 if isinstance(before, int) else 1
    return _held(found, holder, now, transitions=transitions, acquired=_micro(now))


def renewed(held: Manifest, now: datetime) -> Manifest:
    """Return the lease as its holder prolongs it."""
    return {**held, "spec": {**held["spec"], "renewTime": _micro(now)}}


def released(held: Manifest, now: datetime) -> Manifest:
    """Return the lease given back, for the next to take at once."""
    free = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro(now)}
    return {**held, "spec": {**held["spec"], **free}}


def _held(
    base: Manifest, holder: str, now: datetime, *, transitions: int, acquired: str
) -> Manifest:
    return {
        **base,
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": DURATION_S,
            "acquireTime": acquired,
            "renewTime": _micro(now),
            "leaseTransitions": transitions,
        },
    }


def _spec(found: Manifest) -> Manifest:
    return found.get("spec") or {}


def _micro(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
