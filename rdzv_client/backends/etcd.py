"""The protocol over etcd v3: a lease for each member, transactions for the leader, watches for all.

A follower watches four keys: the round record, its own place in it, its own record, and that of its
predecessor, the member with the next older record. Only who has none, the leader, watches the whole
run. So a change costs each member a bounded number of bytes, however many members there are.

What outlives the members, the round and how members left, stands under a lease of the run: so an
etcd that many runs share does not fill up. Whoever leads keeps it alive.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from rdzv_client import etcdv3, publication, wire
from rdzv_client.backends import Listener, StoreUnavailable, evicted
from rdzv_client.backends.run_lease import RunLease
from rdzv_client.etcdv3 import messages
from rdzv_client.replica import Record

log = logging.getLogger(__name__)

_MAX_OPS_PER_TXN = 100  # etcd's own default limit is 128
_RETRY_S = 0.5
_RUN_TTL_S = 7200

P = ParamSpec("P")
T = TypeVar("T")


def _translated(call: Callable[P, T]) -> Callable[P, T]:
    """Raise the port's error for whatever goes wrong between here and etcd."""

    @functools.wraps(call)
    def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except etcdv3.EtcdError as error:
            raise StoreUnavailable(str(error)) from error

    return translated


@dataclass(frozen=True)
class _Place:
    """Where a member stands: the one before it, and what it watches as that was at a revision."""

    predecessor: str | None
    listing: messages.RangeResult


class EtcdBackend:
    """One member's access to one run in etcd (implements :class:`rdzv_client.backends.Backend`).

    Args:
        client: The client; the backend closes it when it stops.
        keys: The run's keys.
        member: The member's id.
        slot: Its slot, if it has one.
        lease_ttl_s: How long the member's record outlives its last sign of life.
        run_ttl_s: How long what the members wrote of the run outlives the last leader.
    """

    def __init__(
        self,
        client: etcdv3.Client,
        keys: wire.Keys,
        member: str,
        slot: int | None,
        lease_ttl_s: float,
        *,
        run_ttl_s: int = _RUN_TTL_S,
    ) -> None:
        self._client, self._keys, self._member, self._slot = client, keys, member, slot
        self._key = keys.member(slot, member)
        self._lease_ttl_s = max(1, round(lease_ttl_s))
        self._lease: int | None = None
        self._run = RunLease(client, f"{keys.prefix}lease", run_ttl_s)
        self._create_revision = self._mod_revision = 0
        self._leading = False
        self._continuous = False
        self._registered = threading.Event()
        self._stopped = threading.Event()
        self._place: _Place | None = None
        self._watch: etcdv3.Watch | None = None
        self._listener: Listener

    # --- the port ---

    @property
    def leading(self) -> bool:
        return self._leading

    @_translated
    def read_round(self) -> bytes | None:
        found = self._client.get(self._keys.round)
        return found.value if found else None

    @_translated
    def read_members(self) -> list[bytes]:
        return [kv.value for kv in self._client.get_prefix(self._keys.members).kvs]

    @_translated
    def read_settings(self) -> bytes | None:
        found = self._client.get(self._keys.settings)
        return found.value if found else None

    def start(self, listener: Listener) -> None:
        self._listener = listener
        for name, loop in (("watch", self._listen), ("beat", self._beat)):
            threading.Thread(target=loop, name=f"rendezvous-{name}", daemon=True).start()

    @_translated
    def register(self, record: wire.Member) -> None:
        lease = self._client.grant(self._lease_ttl_s)
        written = self._come_first(record, lease) or self._come_again(record, lease)
        self._create_revision, self._mod_revision = written
        may_lead = self._place is None
        self._lease = lease
        self._listener.beaten()
        self._registered.set()
        self._relist()
        if may_lead:
            self._run.prepare()  # now is the time, while the others come

    @_translated
    def rewrite(self, record: wire.Member) -> bool:
        if self._lease is None:
            return self._doubt()
        # By the last change: a write that was given up may yet arrive, and must not win then.
        unchanged = messages.modified(self._key, self._mod_revision)
        put = messages.put(self._key, wire.encode(record), self._lease)
        try:
            answer = self._client.txn([unchanged], [put])
        except etcdv3.LeaseNotFound:
            return self._doubt()
        if not answer.succeeded:
            return self._doubt()
        self._mod_revision = answer.revision
        return True

    @_translated
    def publish(self, new: publication.Publication, round_revision: int) -> bool:
        puts = [messages.put(self._keys.rank(rank.id), wire.encode(rank)) for rank in new.ranks]
        stale = [messages.delete(self._keys.rank(member)) for member in new.stale_ranks]
        seal = messages.put(self._keys.round, wire.encode(new.round))
        fences = [
            messages.created(self._key, self._create_revision),
            messages.modified(self._keys.round, round_revision),
        ]
        return all(
            self._run.txn(fences, chunk).succeeded for chunk in _chunks([*stale, *puts, seal])
        )

    @_translated
    def refuse(self, left: wire.Left) -> None:
        leads = messages.created(self._key, self._create_revision)
        put = messages.put(self._keys.left(left.id), wire.encode(left))
        delete = messages.delete(self._keys.member(left.slot, left.id))
        self._run.txn([leads], [put, delete])

    @_translated
    def restore(self, lost: publication.Restoration, round_revision: int) -> None:
        if lost.rank:
            put = messages.put(self._keys.rank(self._member), wire.encode(lost.rank))
            self._run.txn([], [put])
        if lost.round:
            unchanged = messages.modified(self._keys.round, round_revision)
            put = messages.put(self._keys.round, wire.encode(lost.round))
            self._run.txn([unchanged], [put])

    @_translated
    def leave(self, left: wire.Left) -> None:
        put = messages.put(self._keys.left(left.id), wire.encode(left))
        self._run.txn([], [put, messages.delete(self._key)])
        if self._lease is not None:
            lease, self._lease = self._lease, None
            self._client.revoke(lease)

    def stop(self) -> None:
        self._stopped.set()
        self._registered.set()
        self._relist()
        self._client.close()

    # --- registering ---

    def _come_first(self, record: wire.Member, lease: int) -> tuple[int, int] | None:
        """Register where nobody was, and see what to watch, at one blow; None: not possible.

        Returns:
            The create revision of the record and that of its last change.
        """
        keys = self._keys
        nobody = (
            messages.absent(self._key)
            if self._slot is None
            else messages.none_under(keys.slot(self._slot))
        )
        newest = messages.get_prefix(keys.members, sort="-create", limit=2, keys_only=True)
        there = [messages.get(key) for key in (self._key, keys.round, keys.rank(self._member))]
        put = messages.put(self._key, wire.encode(record), lease)
        answer = self._client.txn([*self._may_come(record), nobody], [put, newest, *there])
        if not answer.succeeded:
            return None
        found, *others = (r.kvs for r in answer.responses if isinstance(r, messages.RangeResult))
        older = next((kv.key for kv in found if kv.key != self._key), None)
        listing = messages.RangeResult(answer.header, tuple(kv for kvs in others for kv in kvs))
        self._place = _Place(older, listing) if older else None  # who leads lists all there is
        return answer.revision, answer.revision

    def _come_again(self, record: wire.Member, lease: int) -> tuple[int, int]:
        """Register in place of what stands there. Raises Evicted or StoreUnavailable."""
        self._place = None
        there = self._client.get(self._key)
        # One that was given up may yet arrive, and must not win then.
        unchanged = messages.modified(self._key, there.mod_revision if there else 0)
        put = messages.put(self._key, wire.encode(record), lease)
        get = messages.get(self._key, keys_only=True)
        answer = self._run.txn(
            [*self._may_come(record), unchanged], [*self._take_over_slot(), put, get]
        )
        if not answer.succeeded:
            raise self._refusal(record)
        found = answer.responses[-1]
        assert isinstance(found, messages.RangeResult)
        return found.kvs[0].create_revision, answer.revision

    def _may_come(self, record: wire.Member) -> list[messages.Compare]:
        """Neither its pod is gone nor itself."""
        return [
            messages.absent(self._keys.gone(record.uid)),
            messages.absent(self._keys.left(record.id)),
        ]

    def _take_over_slot(self) -> list[messages.Op]:
        """A new process in the same slot replaces the older one at once, and for good."""
        if self._slot is None:
            return []
        ops: list[messages.Op] = []
        for kv in self._client.get_prefix(self._keys.slot(self._slot)).kvs:
            if kv.key != self._key:
                ops += [messages.delete(kv.key), *self._farewell(kv)]
        return ops[:_MAX_OPS_PER_TXN]

    def _farewell(self, kv: messages.KeyValue) -> list[messages.Op]:
        try:
            old = wire.decode(wire.Member, kv.key, kv.value)
        except wire.WireError:
            return []
        reason = f"its slot {old.slot} was taken over by {self._member}"
        left = wire.Left(old.id, old.uid, old.slot, old.name, "left", reason)
        return [messages.put(self._keys.left(old.id), wire.encode(left))]

    def _refusal(self, record: wire.Member) -> Exception:
        """Why the store did not take the registration."""
        gone, left = self._keys.gone(record.uid), self._keys.left(record.id)
        if kv := self._client.get(gone):
            return evicted(record, wire.decode(wire.Gone, gone, kv.value))
        if kv := self._client.get(left):
            return evicted(record, wire.decode(wire.Left, left, kv.value))
        return StoreUnavailable("the member's record has just been changed; trying again")

    # --- showing life ---

    def _beat(self) -> None:
        self._registered.wait()
        while not self._stopped.wait(self._lease_ttl_s / 3):
            if self._lease is not None and self._listener.alive():
                self._beat_once(self._lease)

    def _beat_once(self, lease: int) -> None:
        try:
            self._client.keep_alive(lease, timeout_s=self._lease_ttl_s / 3)
            self._listener.beaten()
            if self._leading:
                self._renew_run()
        except etcdv3.LeaseNotFound:
            if self._lease == lease:
                self._lease = None
                self._lapse()
        except etcdv3.EtcdError as error:
            self._listener.unreachable(error)

    def _renew_run(self) -> None:
        try:
            self._run.renew()
        except etcdv3.LeaseNotFound:
            log.warning("The lease of the run ran out; its round is brought back.")

    # --- listening ---

    def _listen(self) -> None:
        self._registered.wait()
        while not self._stopped.is_set():
            try:
                self._follow_changes()
            except etcdv3.Resync as error:
                log.info("Listing the run again: %s", error)
                self._continuous = False
            except (etcdv3.EtcdError, OSError) as error:
                self._continuous = False  # what comes back may be another store, or an older one
                self._listener.unreachable(error)
                self._stopped.wait(_RETRY_S)

    def _follow_changes(self) -> None:
        """List, then watch until leadership may have changed or the watch cannot go on."""
        self._leading = False
        place, self._place = self._place, None
        place = place or self._find_place()
        if place is None:
            self._await_registration()
            return
        predecessor, listing = place.predecessor, place.listing
        with self._client.watch(self._ranges(predecessor), listing.revision + 1) as watch:
            self._watch = watch
            self._listener.listed(map(_record, listing.kvs), continuous=self._continuous)
            self._continuous = True
            self._leading = predecessor is None
            self._listener.changed([], [])
            for batch in watch:
                self._confirm_round(batch)
                self._tell(batch)
                if any(e.kind == "delete" and e.kv.key == predecessor for e in batch.events):
                    return

    def _confirm_round(self, batch: messages.WatchBatch) -> None:
        """Nobody deletes a round record: where it is gone, the store has forgotten the run."""
        if any(e.kind == "delete" and e.kv.key == self._keys.round for e in batch.events):
            raise etcdv3.Resync("the round record has vanished")

    def _await_registration(self) -> None:
        self._lapse()
        self._registered.clear()
        if not self._stopped.is_set():
            self._registered.wait(_RETRY_S)

    def _lapse(self) -> None:
        self._doubt()
        self._listener.lapsed()

    def _doubt(self) -> bool:
        """Tell the next listing as one with a gap: with the record, the rest may be gone, too."""
        self._continuous = False
        return False

    def _predecessor(self, create_revision: int) -> str | None:
        older = self._client.get_prefix(
            self._keys.members,
            sort="-create",
            limit=1,
            keys_only=True,
            max_create_revision=create_revision - 1,
        )
        return older.kvs[0].key if older.kvs else None

    def _find_place(self) -> _Place | None:
        """Look where this member stands; None: its record is not there."""
        found = self._client.get(self._key)
        if found is None:
            return None
        predecessor = self._predecessor(found.create_revision)
        listing = self._list(predecessor)
        if all(kv.key != self._key for kv in listing.kvs):
            return None  # deleted in the meantime: the watch would not tell
        return _Place(predecessor, listing)

    def _list(self, predecessor: str | None) -> messages.RangeResult:
        if predecessor is None:
            return self._client.get_prefix(self._keys.prefix)
        keys = [self._keys.round, self._keys.rank(self._member), self._key]
        answer = self._client.txn([], [messages.get(key) for key in keys])
        found = [r for r in answer.responses if isinstance(r, messages.RangeResult)]
        return messages.RangeResult(answer.header, tuple(kv for r in found for kv in r.kvs))

    def _ranges(self, predecessor: str | None) -> list[messages.KeyRange]:
        if predecessor is None:
            return [messages.prefix(self._keys.prefix)]
        heard = [self._keys.round, self._keys.rank(self._member)]
        missed = [self._key, predecessor]
        return [
            *(messages.one(key) for key in heard),
            *(messages.one(key, deletes_only=True) for key in missed),
        ]

    def _tell(self, batch: messages.WatchBatch) -> None:
        puts = [_record(event.kv) for event in batch.events if event.kind == "put"]
        deletes = [event.kv.key for event in batch.events if event.kind == "delete"]
        if puts or deletes:
            self._listener.changed(puts, deletes)
        if self._key in deletes:
            self._leading = False
            self._lapse()

    def _relist(self) -> None:
        """Have the listening thread begin anew: this member's place in the order has changed."""
        if self._watch is not None:
            self._watch.close()


def _record(kv: messages.KeyValue) -> Record:
    return Record(kv.key, kv.value, kv.create_revision, kv.mod_revision)


def _chunks(ops: Sequence[messages.Op]) -> Iterable[Sequence[messages.Op]]:
    for start in range(0, len(ops), _MAX_OPS_PER_TXN):
        yield ops[start : start + _MAX_OPS_PER_TXN]
