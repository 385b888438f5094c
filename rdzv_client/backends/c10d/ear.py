"""The thread that listens: it blocks until it is woken, and then reads what is new."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from rdzv_client.backends import Listener
from rdzv_client.backends.c10d.chair import Chair
from rdzv_client.backends.c10d.layout import ALL, Store, announce, peek
from rdzv_client.backends.c10d.line import Endpoint
from rdzv_client.backends.c10d.seat import Noted, Seat, round_record, wake
from rdzv_client.replica import Record

# A wait that ends without success makes torch complain on stderr. So nothing waits for a time: who
# must look again is woken.
_FOREVER: Final = timedelta(days=7)


class Ear:
    """Hears of changes for one member, under one number and over one connection.

    Args:
        endpoint: Where the store is.
        seat: The member's place.
        member: The member's id.
        listener: Who is told.
        failed: Called when the connection is lost.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        seat: Seat,
        member: str,
        listener: Listener,
        *,
        failed: Callable[[Exception], None],
    ) -> None:
        assert seat.number is not None
        self._endpoint, self._seat, self._layout = endpoint, seat, seat.layout
        self._member, self.number = member, seat.number
        self._listener, self._failed = listener, failed
        self._chair: Chair | None = None
        self._listed = False
        self._placed = self._ranks = self._revision = -1
        self.given_up = False
        self._thread = threading.Thread(target=self._listen, name="rendezvous-ear", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def give_up(self) -> None:
        """Hear nothing from now on; the thread ends when it is woken."""
        self.given_up = True

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _listen(self) -> None:
        try:
            store = self._endpoint.connect()
            while key := self._hear(store):
                store.wait([key], _FOREVER)
        except (RuntimeError, OSError) as error:
            if not self.given_up:
                self._sit(None)
                self._failed(error)

    def _hear(self, store: Store) -> str | None:
        """Read what is new and tell of it; return the key to wait for, None when all is over."""
        if self.given_up or self._seat.number != self.number:
            return None
        if self._chair is None or not self._seat.is_mine(self._chair.term):
            store.delete_key(self._layout.wake(self.number))
            if not peek(store, self._layout.member(self.number)):
                self._seat.pass_on(store, [])
                self._seat.lose()
                return None
            value = self._seat.read(store)
            if not self._seat.is_mine():
                return self._follow(store, value)
            self._lead_from_now_on(store)
        else:
            self._lead_on(store, self._chair)
        return self._chair.bell if self._chair else self._hear(store)

    def _sit(self, chair: Chair | None) -> None:
        """Lead, or do not; an ear that was given up has no say in it any more."""
        self._chair = chair
        if not self.given_up:
            self._seat.chair, self._seat.leading = chair, chair is not None

    # --- as one of many ---

    def _follow(self, store: Store, value: bytes | None) -> str:
        self._sit(None)
        noted = self._seat.noted
        records, missing = self._news(store, noted, value)
        if not self._listed:
            self._list(records)
        elif records or missing:
            self._listener.changed(records, missing)
        return self._layout.wake(self.number)

    def _news(
        self, store: Store, noted: Noted | None, value: bytes | None
    ) -> tuple[Sequence[Record], Sequence[str]]:
        if noted is None:
            return round_record(self._layout, noted, value), []
        lead, missing = noted.lead, []
        records: list[Record] = []
        if lead.placed != self._placed:
            key = self._layout.keys.rank(self._member)
            if place := peek(store, self._layout.rank(lead.ranks, self._member)):
                records.append(Record(key, place, 0, 0))
            else:
                missing.append(key)
            self._forget_old_place(store, lead.ranks)
            self._placed = lead.placed
        if lead.revision != self._revision:
            records += round_record(self._layout, noted, value)
            self._revision = lead.revision
        return records, missing

    def _forget_old_place(self, store: Store, ranks: int) -> None:
        if self._ranks not in (-1, ranks):
            store.delete_key(self._layout.rank(self._ranks, self._member))
        self._ranks = ranks

    # --- as the leader ---

    def _lead_from_now_on(self, store: Store) -> None:
        noted = self._seat.noted
        assert noted
        chair = Chair(self._layout, noted.lead.term)
        if not chair.take(store):
            return
        heard = chair.everything(store, noted.lead)
        self._list([*heard.puts, *round_record(self._layout, noted, None)])
        self._sit(chair)
        wake(store, self._seat, self._seat.others())
        self._listener.changed([], [])
        announce(store, self._layout, [ALL])

    def _lead_on(self, store: Store, chair: Chair) -> None:
        rung = chair.turn(store)
        if rung is None:
            self._sit(None)
            return
        heard = chair.read(store, rung)
        if "round" in rung:
            value = self._seat.read(store)
            heard.puts += round_record(self._layout, self._seat.noted, value)
            wake(store, self._seat, self._seat.others())
        elif heard.arrived:
            wake(store, self._seat, heard.arrived)
        if heard.puts or heard.deletes:
            self._listener.changed(heard.puts, heard.deletes)
        if rung:
            announce(store, self._layout, rung)
        if self.number not in chair.members:
            self._seat.pass_on(store, list(chair.members))
            self._seat.lose()
            self._sit(None)

    # --- telling ---

    def _list(self, records: Sequence[Record]) -> None:
        self._listener.listed(records, continuous=self._listed)
        self._listed = True
