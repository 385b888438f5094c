"""Where a member stands among the others: who is before it, and what it watches for that reason."""

from __future__ import annotations

from dataclasses import dataclass

from rdzv_client import etcdv3, wire
from rdzv_client.etcdv3 import messages


@dataclass(frozen=True)
class Place:
    """The member before this one, and what this one watches as that was at a revision.

    Attributes:
        predecessor: The key of the member with the next older record; None: this member leads.
        listing: What it watches.
    """

    predecessor: str | None
    listing: messages.RangeResult


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
    listing = _list(client, me, predecessor)
    if all(kv.key != me.key for kv in listing.kvs):
        return None  # deleted in the meantime: the watch would not tell
    return Place(predecessor, listing)


def watched(me: Self, predecessor: str | None) -> list[messages.KeyRange]:
    """Return what a member watches who stands behind this one; the whole run if it leads."""
    if predecessor is None:
        return [messages.prefix(me.keys.prefix)]
    missed = (me.key, predecessor)
    return [
        *(messages.one(key) for key in me.heard),
        *(messages.one(key, deletes_only=True) for key in missed),
    ]


def _predecessor(client: etcdv3.Client, me: Self, create_revision: int) -> str | None:
    older = client.get_prefix(
        me.keys.members,
        sort="-create",
        limit=1,
        keys_only=True,
        max_create_revision=create_revision - 1,
    )
    return older.kvs[0].key if older.kvs else None


def _list(client: etcdv3.Client, me: Self, predecessor: str | None) -> messages.RangeResult:
    if predecessor is None:
        return client.get_prefix(me.keys.prefix)
    answer = client.txn([], [messages.get(key) for key in (*me.heard, me.key)])
    found = [r for r in answer.responses if isinstance(r, messages.RangeResult)]
    return messages.RangeResult(answer.header, tuple(kv for r in found for kv in r.kvs))
