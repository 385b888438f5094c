"""What the protocol needs of a store: the port that every backend implements.

A store keeps each member's record as long as the member shows life, keeps one round record that is
written by fenced writes alone, and tells of changes. How it does so is the backend's affair.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from rdzv_client import publication, wire
from rdzv_client.replica import Record


class StoreUnavailable(Exception):
    """The store could not be reached, or did not answer in time; trying again may help."""


class Evicted(Exception):
    """The member may not register again: gone, refused, or its slot taken over.

    Attributes:
        dismissed: It was asked to leave in good order, and has nothing more to do.
    """

    def __init__(self, reason: str, *, dismissed: bool = False) -> None:
        super().__init__(reason)
        self.dismissed = dismissed


def evicted(record: wire.Member, why: wire.Gone | wire.Left) -> Evicted:
    """Return the error that tells a member why it is out of the run."""
    dismissed = isinstance(why, wire.Left) and why.cause == "drained"
    return Evicted(f"{record.name} is out of the run: {why.reason}", dismissed=dismissed)


class Listener(Protocol):
    """Who is told of what happens in the store. Called from the backend's own threads."""

    def listed(self, records: Iterable[Record], *, continuous: bool) -> None:
        """Take a listing.

        ``continuous`` is False when changes may have been missed before it, as after every lapse
        and every fault: only then is a round that the store forgot looked for.
        """

    def changed(self, puts: Iterable[Record], deletes: Iterable[str]) -> None:
        """Take changes, in the order they happened."""

    def alive(self) -> bool:
        """Whether the listener still makes progress; if not, the backend shows no life for it."""

    def beaten(self) -> None:
        """Take note that the store has just acknowledged this member's life."""

    def lapsed(self) -> None:
        """Take note that the store no longer holds this member's record."""

    def unreachable(self, error: Exception) -> None:
        """Take note that the store could not be reached."""


class Backend(Protocol):
    """One member's access to one run.

    Every call raises :class:`StoreUnavailable` when the store cannot be reached.
    """

    @property
    def leading(self) -> bool:
        """Whether it is this member's to lead, and it hears of every change."""

    def read_round(self) -> bytes | None:
        """Read the round record as it is now, without taking part; None when there is none."""

    def read_members(self) -> list[bytes]:
        """Read the records of all live members as they are now, without taking part."""

    def read_settings(self) -> bytes | None:
        """Read the operator's settings as they are now; None when there are none."""

    def start(self, listener: Listener) -> None:
        """Begin to listen, and to show life."""

    def register(self, record: wire.Member) -> None:
        """Create the member's record, tied to its life; take over its slot from older members.

        Raises:
            Evicted: the member may not register again.
        """

    def rewrite(self, record: wire.Member) -> bool:
        """Rewrite the member's record; return False if the store no longer holds it as written."""

    def publish(self, new: publication.Publication, round_revision: int) -> bool:
        """Write as the leader; return False if either fence did not hold, and nothing was sealed.

        Args:
            new: What to write.
            round_revision: The round record's last change as the leader has seen it; 0 for none.
        """

    def refuse(self, left: wire.Left) -> None:
        """As the leader, take another member out of the run for good: refused, or drained.

        It is told so: its next registration raises :class:`Evicted` with the reason.
        """

    def restore(self, lost: publication.Restoration, round_revision: int) -> None:
        """Bring back a round that the store has forgotten, unless somebody was faster."""

    def leave(self, left: wire.Left) -> None:
        """Remove the member's record, and say how it left."""

    def stop(self) -> None:
        """Stop listening and showing life. Never raises; ends within a few seconds."""


class ReportingBackend(Backend, Protocol):
    """A backend that an operator listens to; what that hears of progress, no member does."""

    def report(self, progress: wire.Progress) -> bool:
        """Say how far training has come; return False while the member is not registered."""
