"""The protocol over a TCPStore: numbered members, a doorbell for the leader, a wake for each.

A member makes its calls on one connection and listens on another. Followers read the round and
their own place in it, when the leader wakes them. Only the leader reads what the others write:
who has written rings its doorbell. So a change costs each member a bounded number of bytes, however
many members there are, and an idle member nothing but its beats.
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from typing import Final

from rdzv_client import publication, wire
from rdzv_client.backends import Listener, StoreUnavailable
from rdzv_client.backends.c10d import layout as names_of
from rdzv_client.backends.c10d import lead as leads
from rdzv_client.backends.c10d import registration
from rdzv_client.backends.c10d.chair import retire
from rdzv_client.backends.c10d.ear import Ear
from rdzv_client.backends.c10d.layout import BROUGHT_BACK, Layout, Store, counts, peek, ring
from rdzv_client.backends.c10d.lead import NOBODY, Lead
from rdzv_client.backends.c10d.line import Endpoint, Line
from rdzv_client.backends.c10d.pulses import BEATS_PER_LEASE, Pulses
from rdzv_client.backends.c10d.seat import Seat
from rdzv_client.replica import Record

log = logging.getLogger(__name__)

_BACKOFF_S: Final = (0.1, 2.0)
_GOODBYE_S: Final = 0.4


class C10dBackend:
    """One member's access to one run (implements :class:`rdzv_client.backends.Backend`).

    Args:
        endpoint: Where the store is.
        keys: The run's keys.
        member: The member's id.
        lease_ttl_s: How long the member's record outlives its last sign of life.
        read_timeout_s: How long to wait for an answer.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        keys: wire.Keys,
        member: str,
        lease_ttl_s: float,
        read_timeout_s: float,
    ) -> None:
        self._endpoint, self._member = endpoint, member
        self._layout = Layout(keys)
        self._seat = Seat(self._layout)
        self._line = Line(self._greet, read_timeout_s)
        self._pulses = Pulses(lease_ttl_s)
        self._period_s = lease_ttl_s / BEATS_PER_LEASE
        self._ear: Ear | None = None
        self._ear_lock = threading.Lock()
        self._nudged = threading.Event()
        self._stopped = False
        self._keeper: threading.Thread | None = None
        self._listener: Listener

    # --- the port ---

    @property
    def leading(self) -> bool:
        return self._seat.leading

    def read_round(self) -> bytes | None:
        value = self._line.call(lambda store: peek(store, self._layout.round))
        return value and round_document(self._layout, value)

    def read_members(self) -> list[bytes]:
        return self._line.call(lambda store: registration.records(store, self._layout))

    def start(self, listener: Listener) -> None:
        self._listener = listener
        self._keeper = threading.Thread(target=self._keep, name="rendezvous-beat", daemon=True)
        self._keeper.start()

    def register(self, record: wire.Member) -> None:
        self._line.call(lambda store: self._register(store, record))
        self._listener.beaten()
        self._listen()

    def rewrite(self, record: wire.Member) -> bool:
        return self._line.call(lambda store: self._rewrite(store, wire.encode(record)))

    def publish(self, new: publication.Publication, round_revision: int) -> bool:
        if not self._line.call(lambda store: self._publish(store, new, round_revision)):
            return False
        keys, noted = self._layout.keys, self._seat.noted
        assert noted
        revision = noted.lead.revision
        puts = [Record(keys.rank(rank.id), wire.encode(rank), 0, 0) for rank in new.ranks]
        puts.append(Record(keys.round, wire.encode(new.round), revision, revision))
        self._listener.changed(puts, [keys.rank(member) for member in new.stale_ranks])
        return True

    def refuse(self, left: wire.Left) -> None:
        self._line.call(lambda store: self._refuse(store, left))

    def restore(self, lost: publication.Restoration, round_revision: int) -> None:
        self._line.call(lambda store: self._restore(store, lost, round_revision))
        if lost.rank:
            key = self._layout.keys.rank(self._member)
            self._listener.changed([Record(key, wire.encode(lost.rank), 0, 0)], [])

    def leave(self, left: wire.Left) -> None:
        self._line.call(lambda store: self._leave(store, left))

    def stop(self) -> None:
        self._stopped = True
        self._nudged.set()
        ear = self._ear
        if ear:
            ear.give_up()
            try:
                self._line.call(self._rouse, _GOODBYE_S)
            except StoreUnavailable as error:
                log.debug("The listening thread could not be woken: %s", error)
            ear.join(_GOODBYE_S)
        self._line.close()

    # --- jobs on the connection ---

    def _greet(self) -> Store:
        """Open a connection, and see whether the store still knows this member."""
        store = self._endpoint.open()
        if self._seat.is_elsewhere(peek(store, self._layout.round)):
            log.info("The store was replaced by another one; registering again.")
            self._seat.lose()
            self._nudged.set()
        return store

    def _register(self, store: Store, record: wire.Member) -> None:
        registration.refuse_if_out(store, self._layout, record)
        document = wire.encode(record)
        if not self._write_again(store, document):
            self._seat.number = registration.enrol(store, self._layout, record)
            self._seat.document = document
        self._seat.lapsed = False
        self._claim(store)

    def _write_again(self, store: Store, document: bytes) -> bool:
        """Write the record in its place, if it still has one."""
        seat = self._seat
        if seat.number is None:
            return False
        key = self._layout.member(seat.number)
        there = peek(store, key)
        if not there or store.compare_set(key, there, document) != document:
            return False
        seat.document = document
        ring(store, self._layout, [names_of.member(seat.number)])
        return True

    def _claim(self, store: Store) -> None:
        """Lead, if nobody does."""
        seat = self._seat
        assert seat.number is not None
        if seat.read(store) is None:
            first = leads.encode(Lead(epoch=secrets.token_hex(8), leader=seat.number))
            seat.note(store.compare_set(self._layout.round, b"", first))
        noted = seat.noted
        if noted and noted.lead.leader == NOBODY:
            seat.swap(store, noted, noted.lead.passed_to(seat.number))

    def _rewrite(self, store: Store, document: bytes) -> bool:
        seat = self._seat
        if seat.number is None:
            return False
        key = self._layout.member(seat.number)
        there = store.compare_set(key, seat.document, document)
        if there != document or not peek(store, key):
            seat.lose()
            return False
        seat.document = document
        ring(store, self._layout, [names_of.member(seat.number)])
        return True

    def _publish(self, store: Store, new: publication.Publication, round_revision: int) -> bool:
        seat, layout, noted = self._seat, self._layout, self._seat.noted
        if not seat.leading or noted is None or noted.lead.revision != round_revision:
            return False
        lead, document = noted.lead, wire.encode(new.round)
        changed = lead.with_round(document)
        if new.ranks:
            keys = [layout.rank(lead.term, rank.id) for rank in new.ranks]
            store.multi_set(keys, [wire.encode(rank) for rank in new.ranks])
            store.set(layout.roll(lead.term), "\n".join(rank.id for rank in new.ranks))
            changed = lead.with_places(document, lead.term)
        if not seat.swap(store, noted, changed):
            self._rouse(store)
            return False
        if self._ear:
            self._ear.wake_others(store)
        return True

    def _refuse(self, store: Store, left: wire.Left) -> None:
        self._seat.read(store)
        chair = self._ear.chair if self._ear else None
        if chair is None or not self._seat.is_mine(chair.term):
            return
        key = self._layout.keys.member(left.slot, left.id)
        for number, seated in list(chair.members.items()):
            if seated.key == key:
                registration.farewell(store, self._layout, left, number)

    def _restore(self, store: Store, lost: publication.Restoration, round_revision: int) -> None:
        seat, layout, changed = self._seat, self._layout, []
        if lost.rank:
            changed.append(names_of.rank(BROUGHT_BACK, self._member))
            store.compare_set(layout.of(changed[0]), b"", wire.encode(lost.rank))
            store.append(layout.roll(BROUGHT_BACK), f"{self._member}\n")
        seat.read(store)
        noted = seat.noted
        if lost.round and noted and noted.lead.revision == round_revision:
            new = noted.lead.with_places(wire.encode(lost.round), BROUGHT_BACK)
            if seat.swap(store, noted, new):
                changed.append(names_of.ROUND)
        ring(store, layout, changed)

    def _leave(self, store: Store, left: wire.Left) -> None:
        seat = self._seat
        registration.farewell(store, self._layout, left, seat.number)
        seat.pass_on(store, self._others())
        seat.leave()
        self._rouse(store)

    def _rouse(self, store: Store) -> None:
        """Have this member's own ear look again, wherever it waits."""
        if self._ear:
            store.set(self._layout.wake(self._ear.number), "1")
            if self._ear.chair:
                store.append(self._ear.chair.bell, "\n")

    def _others(self) -> list[int]:
        """The numbers of the other members, as far as this one knows them because it leads."""
        chair = self._ear.chair if self._ear else None
        return [number for number in chair.members if number != self._seat.number] if chair else []

    # --- showing life, and watching for it ---

    def _keep(self) -> None:
        backoff_s = _BACKOFF_S[0]
        while not self._stopped:
            wait_s = self._period_s
            try:
                self._beat_once()
                backoff_s = _BACKOFF_S[0]
            except StoreUnavailable as error:
                self._listener.unreachable(error)
                wait_s = backoff_s * random.uniform(0.5, 1.0)  # noqa: S311
                backoff_s = min(backoff_s * 2, _BACKOFF_S[1])
            self._nudged.wait(wait_s)
            self._nudged.clear()

    def _beat_once(self) -> None:
        seat = self._seat
        if seat.number is not None and self._listener.alive():
            try:
                self._line.call(self._beat)
            except StoreUnavailable:
                self._stop_listening()
                raise
            if seat.number is not None:
                self._listener.beaten()
                self._listen()
        if seat.lapsed:
            seat.lapsed = False
            self._listener.lapsed()

    def _beat(self, store: Store) -> None:
        seat, layout = self._seat, self._layout
        if seat.number is None or seat.noted is None:
            return
        store.add(layout.beat(seat.number), 1)
        watched = self._others() if seat.leading else [seat.noted.lead.leader]
        watched = [number for number in watched if number not in (NOBODY, seat.number)]
        read = counts(store, [layout.beat(number) for number in watched])
        silent = self._pulses.observe(dict(zip(watched, read, strict=True)), time.monotonic())
        if silent and seat.leading:
            log.info("As the leader: no sign of life from %s.", silent)
            retire(store, layout, silent)
            ring(store, layout, [names_of.member(number) for number in silent])
        elif silent or seat.noted.lead.leader == NOBODY:
            self._take_over(store, seat.noted.lead.leader)

    def _take_over(self, store: Store, leader: int) -> None:
        """Lead in place of one that shows no life, unless somebody else does by now."""
        seat = self._seat
        assert seat.number is not None
        seat.read(store)
        noted = seat.noted
        if noted and noted.lead.leader == leader:
            if not seat.swap(store, noted, noted.lead.passed_to(seat.number)):
                return
            log.info("Leading from now on: the leader showed no sign of life.")
            retire(store, self._layout, [leader] if leader != NOBODY else [])
        self._rouse(store)

    # --- listening ---

    def _listen(self) -> None:
        """Have an ear under the present number; it hears everything anew if it is a new one."""
        with self._ear_lock:
            ear, number = self._ear, self._seat.number
            if self._stopped or number is None:
                return
            if ear and ear.is_alive() and ear.number == number and not ear.given_up:
                return
            if ear:
                ear.give_up()
            self._ear = Ear(
                self._endpoint,
                self._seat,
                self._member,
                self._listener,
                failed=self._deafened,
            )

    def _stop_listening(self) -> None:
        if self._ear:
            self._ear.give_up()

    def _deafened(self, error: Exception) -> None:
        self._listener.unreachable(error)
        self._nudged.set()


def round_document(layout: Layout, value: bytes) -> bytes | None:
    """Return the round's document out of what stands under its key; as it is if that is no good."""
    try:
        return leads.decode(layout.round, value).round
    except wire.WireError:
        return value
