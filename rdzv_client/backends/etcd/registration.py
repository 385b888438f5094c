"""How a member comes into the run, at first and again, and why it may not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rdzv_client import etcdv3, wire
from rdzv_client.backends import StoreUnavailable, evicted
from rdzv_client.backends.etcd.place import Place, Self
from rdzv_client.backends.run_lease import RunLease
from rdzv_client.etcdv3 import messages

MAX_OPS_PER_TXN: Final = 100  # etcd's own default limit is 128


@dataclass(frozen=True)
class Registered:
    """A record as it was written.

    Attributes:
        create_revision: Since when it is there.
        mod_revision: Its last change.
        place: Where the member stands; None: not known yet.
    """

    create_revision: int
    mod_revision: int
    place: Place | None = None

    @property
    def may_lead(self) -> bool:
        return self.place is None or self.place.predecessor is None


class Registration:
    """Registers one member.

    Args:
        client: The client.
        run: The lease of the run.
        me: The member.
    """

    def __init__(self, client: etcdv3.Client, run: RunLease, me: Self) -> None:
        self._client, self._run, self._me = client, run, me

    def register(self, record: wire.Member, lease: int) -> Registered:
        """Write the record under the lease.

        Raises:
            Evicted: the member may not register again.
            StoreUnavailable: somebody else has just changed the record; trying again may help.
        """
        return self._come_first(record, lease) or self._come_again(record, lease)

    def _come_first(self, record: wire.Member, lease: int) -> Registered | None:
        """Register where nobody was, and see what to watch, at one blow; None: not possible."""
        me, keys = self._me, self._me.keys
        nobody = (
            messages.absent(me.key) if me.slot is None else messages.none_under(keys.slot(me.slot))
        )
        newest = messages.get_prefix(keys.members, sort="-create", limit=1, keys_only=True)
        heard = [messages.get(key) for key in me.heard]
        put = messages.put(me.key, wire.encode(record), lease)
        answer = self._client.txn([*self._may_come(record), nobody], [newest, *heard, put])
        if not answer.succeeded:
            return None
        older, *there = (r for r in answer.responses if isinstance(r, messages.RangeResult))
        revision = answer.revision
        mine = messages.KeyValue(me.key, put.value, revision, revision, version=1, lease=lease)
        listing = messages.RangeResult(answer.header, (mine, *(kv for r in there for kv in r.kvs)))
        predecessor = older.kvs[0].key if older.kvs else None
        return Registered(revision, revision, Place(predecessor, listing, older.count > 1))

    def _come_again(self, record: wire.Member, lease: int) -> Registered:
        """Register in place of what stands there."""
        key = self._me.key
        there = self._client.get(key)
        # One that was given up may yet arrive, and must not win then.
        unchanged = messages.modified(key, there.mod_revision if there else 0)
        put = messages.put(key, wire.encode(record), lease)
        get = messages.get(key, keys_only=True)
        answer = self._run.txn(
            [*self._may_come(record), unchanged], [*self._take_over_slot(), put, get]
        )
        if not answer.succeeded:
            raise self._refusal(record)
        found = answer.responses[-1]
        assert isinstance(found, messages.RangeResult)
        return Registered(found.kvs[0].create_revision, answer.revision)

    def _may_come(self, record: wire.Member) -> list[messages.Compare]:
        """Neither its pod is gone nor itself."""
        keys = self._me.keys
        return [messages.absent(keys.gone(record.uid)), messages.absent(keys.left(record.id))]

    def _take_over_slot(self) -> list[messages.Op]:
        """A new process in the same slot replaces the older one at once, and for good."""
        me = self._me
        if me.slot is None:
            return []
        ops: list[messages.Op] = []
        for kv in self._client.get_prefix(me.keys.slot(me.slot)).kvs:
            if kv.key != me.key:
                ops += [messages.delete(kv.key), *self._farewell(kv)]
        return ops[:MAX_OPS_PER_TXN]

    def _farewell(self, kv: messages.KeyValue) -> list[messages.Op]:
        try:
            old = wire.decode(wire.Member, kv.key, kv.value)
        except wire.WireError:
            return []
        reason = f"its slot {old.slot} was taken over by {self._me.member}"
        left = wire.Left(old.id, old.uid, old.slot, old.name, "left", reason)
        return [messages.put(self._me.keys.left(old.id), wire.encode(left))]

    def _refusal(self, record: wire.Member) -> Exception:
        """Why the store did not take the registration."""
        gone, left = self._me.keys.gone(record.uid), self._me.keys.left(record.id)
        if kv := self._client.get(gone):
            return evicted(record, wire.decode(wire.Gone, gone, kv.value))
        if kv := self._client.get(left):
            return evicted(record, wire.decode(wire.Left, left, kv.value))
        return StoreUnavailable("the member's record has just been changed; trying again")
