"""One member over the one value of its run."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from rdzv_client import publication, wire
from rdzv_client.backends import Listener, evicted
from rdzv_client.backends.blob.calls import Calls, GivenUp
from rdzv_client.backends.blob.document import Document, member_of
from rdzv_client.backends.blob.life import Life
from rdzv_client.backends.blob.value import Edit, State, StateFault, Value
from rdzv_client.options import Options
from rdzv_client.replica import Record

_LOOKS_WHEN_BUSY: Final = 5
_MANY: Final = 50
_BUSY_S: Final = 2.0
_LEFT_KEPT: Final = 64


class BlobBackend:
    """One member's access to one run (implements :class:`rdzv_client.backends.Backend`).

    No thread but one of its own ever waits for the backend, so that one which never answers stops
    nobody else.

    Args:
        state: The backend; its calls are made one at a time.
        keys: The run's keys.
        record: The member's first record.
        options: How long to wait for what.
        corrupt: What the backend raises when it cannot read what it holds.
    """

    def __init__(
        self,
        state: State,
        keys: wire.Keys,
        record: wire.Member,
        options: Options,
        corrupt: tuple[type[Exception], ...] = (),
    ) -> None:
        self._keys, self._options = keys, options
        self._member, self._slot = record.id, record.slot
        self._key = keys.member(record.slot, record.id)
        self._stopped = threading.Event()
        self._calls = Calls("rendezvous-blob")
        self._value = Value(state, keys, options.cas_backoff_max_seconds, corrupt, self._stopped)
        self._told: Document | None = None
        self._mine: Record | None = None
        self._life = Life(options.lease_ttl, time.monotonic())
        self._beaten_at = self._changed_at = float("-inf")
        self._leading = False
        self._listener: Listener

    # --- the port ---

    @property
    def leading(self) -> bool:
        return self._leading

    def read_round(self) -> bytes | None:
        try:
            there = self._calls.make(self._read, self._options.read_timeout)
        except StateFault as error:
            raise wire.WireError(str(error)) from error
        found = there.records.get(self._keys.round)
        return found.value if found else None

    def read_members(self) -> list[bytes]:
        there = self._calls.make(self._read, self._options.read_timeout)
        return [record.value for record in there.under(self._keys.members)]

    def read_settings(self) -> bytes | None:
        there = self._calls.make(self._read, self._options.read_timeout)
        found = there.records.get(self._keys.settings)
        return found.value if found else None

    def start(self, listener: Listener) -> None:
        self._listener = listener
        threading.Thread(target=self._follow, name="rendezvous-look", daemon=True).start()

    def register(self, record: wire.Member) -> None:
        def edit(draft: Document) -> bool:
            self._refuse_who_is_out(draft, record)
            self._take_over_slot(draft)
            draft.put(self._key, wire.encode(record))
            return True

        self._change(edit, self._note_mine)

    def rewrite(self, record: wire.Member) -> bool:
        def edit(draft: Document) -> bool:
            if self._mine is None or draft.records.get(self._key) != self._mine:
                return False
            draft.put(self._key, wire.encode(record))
            return True

        return self._change(edit, self._note_mine)

    def publish(self, new: publication.Publication, round_revision: int) -> bool:
        def edit(draft: Document) -> bool:
            if not self._may_lead(draft) or _round_revision(draft) != round_revision:
                return False
            for member in new.stale_ranks:
                draft.delete(self._keys.rank(member))
            for rank in new.ranks:
                draft.put(self._keys.rank(rank.id), wire.encode(rank))
            draft.put(self._keys.round, wire.encode(new.round))
            return True

        return self._change(edit)

    def refuse(self, left: wire.Left) -> None:
        def edit(draft: Document) -> bool:
            if not self._may_lead(draft):
                return False
            _take_out(draft, left)
            return True

        self._change(edit)

    def restore(self, lost: publication.Restoration, round_revision: int) -> None:
        def edit(draft: Document) -> bool:
            if lost.rank:
                draft.put(self._keys.rank(self._member), wire.encode(lost.rank))
            if lost.round and _round_revision(draft) == round_revision:
                draft.put(self._keys.round, wire.encode(lost.round))
            return True

        self._change(edit)

    def leave(self, left: wire.Left) -> None:
        def edit(draft: Document) -> bool:
            _take_out(draft, left)
            return True

        self._change(edit, self._note_mine)

    def stop(self) -> None:
        self._stopped.set()
        self._calls.stop()

    # --- changes ---

    def _change(self, edit: Edit, wrote: Callable[[Document], None] | None = None) -> bool:
        def call(given_up: GivenUp) -> bool:
            written = self._write(edit, given_up)
            if written and wrote:
                wrote(written)
            if written:
                self._hear(written)
            return written is not None

        return self._calls.make(call, self._options.read_timeout)

    def _write(self, edit: Edit, given_up: GivenUp) -> Document | None:
        """Change the document; with every change the member shows life."""

        def edit_and_beat(draft: Document) -> bool:
            if not edit(draft):
                return False
            if self._key in draft.records:
                draft.beat(self._member)
            return True

        written = self._value.change(edit_and_beat, given_up)
        if written and self._key in written.records:
            self._beaten_at = time.monotonic()
            self._listener.beaten()
        return written

    def _read(self, _given_up: GivenUp) -> Document:
        return self._value.read()

    def _note_mine(self, document: Document) -> None:
        self._mine = document.records.get(self._key)

    def _may_lead(self, draft: Document) -> bool:
        there = draft.records.get(self._key)
        mine = self._mine
        return bool(there and mine and there.create_revision == mine.create_revision)

    def _refuse_who_is_out(self, draft: Document, record: wire.Member) -> None:
        gone = _found(wire.Gone, draft, self._keys.gone(record.uid))
        left = _found(wire.Left, draft, self._keys.left(record.id))
        if why := gone or left:
            raise evicted(record, why)

    def _take_over_slot(self, draft: Document) -> None:
        """A new process in the same slot replaces the older one at once, and for good."""
        if self._slot is None:
            return
        reason = f"its slot {self._slot} was taken over by {self._member}"
        for there in draft.under(self._keys.slot(self._slot)):
            if there.key == self._key:
                continue
            draft.delete(there.key)
            try:
                old = wire.decode(wire.Member, there.key, there.value)
            except wire.WireError:
                continue
            _take_out(draft, wire.Left(old.id, old.uid, old.slot, old.name, "left", reason))

    # --- looking ---

    def _follow(self) -> None:
        while not self._stopped.wait(self._pause_s()):
            try:
                self._calls.make(self._look, self._options.heartbeat_timeout)
            except Exception as error:  # noqa: BLE001 - who stopped looking would never be told
                self._beaten_at = float("-inf")
                if not self._stopped.is_set():
                    self._listener.unreachable(error)

    def _pause_s(self) -> float:
        """Until the next look; there is nothing to wait on, and who is alive must be seen in time.

        What has just changed is likely to change again; but all together do not look more often
        than a backend can bear.
        """
        pause_s = min(self._options.poll_interval, self._options.lease_ttl / 6)
        if time.monotonic() - self._changed_at < _BUSY_S:
            pause_s *= min(1.0, max(1 / _LOOKS_WHEN_BUSY, len(self._life.beats) / _MANY))
        return pause_s * random.uniform(0.8, 1.0)  # noqa: S311

    def _look(self, given_up: GivenUp) -> None:
        document = None
        due_at = self._beaten_at + self._options.lease_ttl / 3
        if self._mine and time.monotonic() >= due_at and self._listener.alive():
            document = self._write(lambda draft: self._key in draft.records, given_up)
        self._hear(document or self._value.read())
        if self._leading and self._listener.alive():
            self._remove_silent(given_up)

    def _remove_silent(self, given_up: GivenUp) -> None:
        silent = self._life.silent(time.monotonic()) - {self._member}
        if not silent:
            return

        def edit(draft: Document) -> bool:
            still = [
                record.key
                for record in draft.under(self._keys.members)
                if (member := member_of(record.key)) in silent
                and draft.beats.get(member, 0) == self._life.beats[member]
            ]
            for key in still:
                draft.delete(key)
            return bool(still)

        if document := self._write(edit, given_up):
            self._hear(document)

    def _hear(self, document: Document) -> None:
        """Take note of what stands there, and tell the listener what is new in it."""
        now = time.monotonic()
        members = document.under(self._keys.members)
        ids = [member_of(record.key) for record in members]
        self._life.seen({member: document.beats.get(member, 0) for member in ids}, now)
        if self._mine is None and self._told is None:
            return  # not registered yet
        self._tell(document, now)
        self._note_order(document, ids, now)

    def _tell(self, document: Document, now: float) -> None:
        told, self._told = self._told, document
        if told is None or not document.follows(told):
            self._changed_at = now
            self._listener.listed(document.records.values(), continuous=False)
            return
        puts, deletes = document.changes_since(told)
        if puts or deletes:
            self._changed_at = now
            self._listener.changed(puts, deletes)

    def _note_order(self, document: Document, ids: list[str], now: float) -> None:
        """Whether this member is still registered, and whether it is its turn to lead."""
        if self._mine and not self._may_lead(document):
            self._mine, self._leading = None, False
            self._listener.lapsed()
            return
        older = ids[: ids.index(self._member)] if self._mine else ids
        leads = self._mine is not None and self._life.silent(now) >= set(older)
        if leads != self._leading:
            self._leading = leads
            self._listener.changed([], [])


def _round_revision(document: Document) -> int:
    there = document.records.get(document.keys.round)
    return there.mod_revision if there else 0


Why = TypeVar("Why", wire.Gone, wire.Left)


def _found(kind: type[Why], document: Document, key: str) -> Why | None:
    """Return a document of the run; what is no valid one says nothing of anybody."""
    there = document.records.get(key)
    with contextlib.suppress(wire.WireError):
        return wire.decode(kind, key, there.value) if there else None
    return None


def _take_out(draft: Document, left: wire.Left) -> None:
    """Remove a member for good; only the newest farewells are kept, and those of the last round."""
    keys = draft.keys
    draft.delete(keys.member(left.slot, left.id))
    draft.put(keys.left(left.id), wire.encode(left))
    for old in draft.under(keys.left_prefix)[:-_LEFT_KEPT]:
        if keys.ranks + member_of(old.key) not in draft.records:
            draft.delete(old.key)
