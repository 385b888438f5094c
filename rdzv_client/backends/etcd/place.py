"""Where a member stands among the others: who is before it, and what it hears of."""

from __future__ import annotations

from dataclasses import dataclass

from rdzv_client import etcdv3, wire
from rdzv_client.etcdv3 import messages


@dataclass(frozen=True)
class Place:
    """The member before this one, and what this one hears of as that was at a revision.

    Attributes:
        predecessor: The key of the member with the next older record; None: this member leads.
        listing: The member's record and what it hears of.
        in_line: Whether others stand before the predecessor, as far as is known: then that does not
            lead, and its end is of no consequence before they are gone, too.
    """

    predecessor: str | None
    listing: messages.RangeResult
    in_line: bool = False


@dataclass(frozen=True)
class Self:
    """One member as it stands in the run: its id, and the key of its record."""

    keys: wire.Keys
    member: str
    slot: int | None

    @property
    def key(self) -> str:
        return self.keys.member(self.slot, self.member)

    @property
    def heard(self) -> list[str]:
        """The keys that a follower reads whenever they change."""
        return [self.keys.round, self.keys.rank(self.member)]


def find(client: etcdv3.Client, me: Self) -> Place | None:
    """Look where a member stands; None: its record is not there."""
    found = client.get(me.key)
    if found is None:
        return None
    predecessor = _predecessor(client, me, found.create_revision)
    listing = _list(client, me)
    if all(kv.key != me.key for kv in listing.kvs):
        return None  # deleted in the meantime
    return Place(predecessor, listing)


def heard(me: Self) -> list[messages.KeyRange]:
    """Return what a member watches wherever it stands; behind another, the end of that, too."""
    return [*map(messages.one, me.heard), messages.one(me.key, deletes_only=True)]


def everything(me: Self) -> messages.KeyRange:
    """Return what a leader hears of: all of the run but how far members have come in training."""
    first, end = me.keys.prefix, me.keys.steps_prefix
    return messages.KeyRange(messages.encode_key(first), messages.encode_key(end))


def _predecessor(client: etcdv3.Client, me: Self, create_revision: int) -> str | None:
    older = client.get_prefix(
        me.keys.members,
        sort="-create",
        limit=1,
        keys_only=True,
        max_create_revision=create_revision - 1,
    )
    return older.kvs[0].key if older.kvs else None


def _list(client: etcdv3.Client, me: Self) -> messages.RangeResult:
    answer = client.txn([], [messages.get(key) for key in (*me.heard, me.key)])
    found = [r for r in answer.responses if isinstance(r, messages.RangeResult)]
    return messages.RangeResult(answer.header, tuple(kv for r in found for kv in r.kvs))
