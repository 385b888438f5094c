"""The protocol over a TCPStore: numbered members, a doorbell for the leader, a wake for each.

A member makes its calls on one connection and listens on another. Followers read the round and
their own place in it, when the leader wakes them. Only the leader reads what the others write:
who has written rings its doorbell. So a change costs each member a bounded number of bytes, however
many members there are, and an idle member nothing but its beats.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from typing import Final

from rdzv_client import publication, wire
from rdzv_client.backends import Listener, StoreUnavailable
from rdzv_client.backends.c10d import jobs, registration
from rdzv_client.backends.c10d import lead as leads
from rdzv_client.backends.c10d.ear import Ear
from rdzv_client.backends.c10d.layout import SETTINGS, Layout, Store, peek
from rdzv_client.backends.c10d.line import Endpoint, Line
from rdzv_client.backends.c10d.pulses import BEATS_PER_LEASE, Pulses
from rdzv_client.backends.c10d.seat import Seat
from rdzv_client.replica import Record

log = logging.getLogger(__name__)

_BACKOFF_S: Final = (0.1, 2.0)
_GOODBYE_S: Final = 0.4
# A process that ends while a thread of it comes back from torch is aborted. One whose connection is
# lost does come back, but late: torch first writes down its stack, which a busy host makes long.
_RETURN_S: Final = 3.0
_LATE_RETURN_S: Final = 20.0


class C10dBackend:
    """One member's access to one run (implements :class:`rdzv_client.backends.Backend`).

    Args:
        endpoint: Where the store is.
        keys: The run's keys.
        member: The member's id.
        lease_ttl_s: How long the member's record outlives its last sign of life.
        read_timeout_s: How long to wait for an answer.
        beat_timeout_s: The same for a sign of life, if that is less.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        keys: wire.Keys,
        member: str,
        lease_ttl_s: float,
        read_timeout_s: float,
        *,
        beat_timeout_s: float = math.inf,
    ) -> None:
        self._endpoint, self._member = endpoint, member
        self._layout = Layout(keys)
        self._seat = Seat(self._layout)
        self._line = Line(self._greet, read_timeout_s, endpoint.name)
        self._do = self._line.call
        self._pulses = Pulses(lease_ttl_s)
        self._beat_timeout_s = min(beat_timeout_s, read_timeout_s)
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
        value = self._do(lambda store: peek(store, self._layout.round))
        return value and round_document(self._layout, value)

    def read_members(self) -> list[bytes]:
        return self._do(lambda store: registration.records(store, self._layout))

    def read_settings(self) -> bytes | None:
        return self._do(lambda store: peek(store, self._layout.of(SETTINGS)))

    def start(self, listener: Listener) -> None:
        self._listener = listener
        self._keeper = threading.Thread(target=self._keep, name="rendezvous-beat", daemon=True)
        self._keeper.start()

    def register(self, record: wire.Member) -> None:
        seat = self._seat
        try:
            seat.number = self._do(lambda store: jobs.register(store, seat, record))
        except StoreUnavailable:
            self._do(lambda store: registration.refuse_poison(store, self._layout, seat.number))
            raise
        seat.document, seat.lapsed = wire.encode(record), False
        self._listener.beaten()
        self._listen()

    def rewrite(self, record: wire.Member) -> bool:
        seat, document = self._seat, wire.encode(record)
        written = self._do(lambda store: jobs.rewrite(store, seat, document))
        if written:
            seat.document = document
        return written

    def report(self, progress: wire.Progress) -> bool:
        """Say how far training has come (:class:`rdzv_client.backends.ReportingBackend`)."""
        seat, document = self._seat, wire.encode(progress)
        return self._do(lambda store: jobs.report(store, seat, document))

    def publish(self, new: publication.Publication, round_revision: int) -> bool:
        if not self._do(lambda store: jobs.publish(store, self._seat, new, round_revision)):
            return False
        keys, noted = self._layout.keys, self._seat.noted
        assert noted
        revision = noted.lead.revision
        puts = [Record(keys.rank(rank.id), wire.encode(rank), 0, 0) for rank in new.ranks]
        puts.append(Record(keys.round, wire.encode(new.round), revision, revision))
        self._listener.changed(puts, [keys.rank(member) for member in new.stale_ranks])
        return True

    def refuse(self, left: wire.Left) -> None:
        self._do(lambda store: jobs.refuse(store, self._seat, left))

    def restore(self, lost: publication.Restoration, round_revision: int) -> None:
        seat, member = self._seat, self._member
        self._do(lambda store: jobs.restore(store, seat, member, lost, round_revision))
        if lost.rank:
            key = self._layout.keys.rank(member)
            self._listener.changed([Record(key, wire.encode(lost.rank), 0, 0)], [])

    def leave(self, left: wire.Left) -> None:
        self._do(lambda store: jobs.leave(store, self._seat, left))
        self._seat.leave()

    def stop(self) -> None:
        self._stopped = True
        self._nudged.set()
        ear = self._ear
        if ear and ear.is_alive():
            ear.give_up()
            try:
                self._do(lambda store: self._seat.rouse(store, ear.number), _GOODBYE_S)
            except StoreUnavailable as error:
                log.debug("The listening thread could not be woken: %s", error)
        if not self._are_back(_RETURN_S) and not self._endpoint.is_there():
            self._are_back(_LATE_RETURN_S)

    def _are_back(self, within_s: float) -> bool:
        """Wait until no thread is inside torch any more; return whether that is so in time."""
        ends_at = time.monotonic() + within_s
        if self._ear:
            self._ear.join(within_s)
        self._line.close(max(0.0, ends_at - time.monotonic()))
        return not (self._line.is_busy() or (self._ear and self._ear.is_alive()))

    # --- the connection ---

    def _greet(self) -> Store:
        """Open a connection, and see whether the store still knows this member."""
        store = self._endpoint.open()
        if self._seat.is_elsewhere(peek(store, self._layout.round)):
            log.info("The store was replaced by another one; registering again.")
            self._seat.lose()
            self._nudged.set()
        return store

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
                self._do(
                    lambda store: jobs.beat(store, seat, self._pulses),
                    answer_s=self._beat_timeout_s,
                )
            except StoreUnavailable:
                self._stop_listening()
                raise
            if seat.number is not None:
                self._listener.beaten()
                self._listen()
        if seat.lapsed:
            seat.lapsed = False
            self._listener.lapsed()

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
