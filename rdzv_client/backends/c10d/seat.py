"""A member's place in the run: its number, and who leads as it last read.

The threads of a backend share it: the one that makes the calls, and the one that listens.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from rdzv_client import wire
from rdzv_client.backends.c10d import lead as leads
from rdzv_client.backends.c10d.chair import Chair
from rdzv_client.backends.c10d.layout import Layout, Store, peek
from rdzv_client.backends.c10d.lead import NOBODY, Lead
from rdzv_client.replica import Record

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Noted:
    """The key of the round as it was read."""

    lead: Lead
    value: bytes


class Seat:
    """What a member knows of its own place.

    Attributes:
        number: Its number; None while it is not registered.
        document: Its record as it stands in the store.
        leading: Whether it leads, and has read everything.
        noted: Who leads, and the round; None before it was read, and when it cannot be read.
        chair: What it has heard as the leader; None while it does not lead.
        lapsed: Whether the listener must be told that the member is no longer registered.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.number: int | None = None
        self.document = b""
        self.leading = False
        self.noted: Noted | None = None
        self.chair: Chair | None = None
        self.lapsed = False
        self._lock = threading.Lock()

    def read(self, store: Store) -> bytes | None:
        """Read who leads, and the round; note it if it is news."""
        value = peek(store, self.layout.round)
        if value is not None:
            self.note(value)
        return value

    def note(self, value: bytes) -> None:
        """Take note of it; of what cannot be read, that nothing is known any more."""
        try:
            lead = leads.decode(self.layout.round, value)
        except wire.WireError as error:
            log.warning("Cannot read what stands in the store: %s", error)
            self.noted = None
            return
        with self._lock:
            if lead.is_newer_than(self.noted.lead if self.noted else None):
                self.noted = Noted(lead, value)

    def swap(self, store: Store, old: Noted, new: Lead) -> bool:
        """Write who leads, and the round, unless somebody has written since ``old`` was read."""
        value = leads.encode(new)
        there = store.compare_set(self.layout.round, old.value, value)
        if there:
            self.note(there)
        return there == value

    def is_mine(self, term: int | None = None) -> bool:
        """Whether it is this member's to lead, in this term, as far as it has read."""
        if self.noted is None or self.number is None:
            return False
        lead = self.noted.lead
        return lead.leader == self.number and term in (None, lead.term)

    def is_elsewhere(self, value: bytes | None) -> bool:
        """Whether the store is another than the one this member is registered in: a new one."""
        if self.number is None or self.noted is None:
            return False
        try:
            return value is None or (
                leads.decode(self.layout.round, value).epoch != self.noted.lead.epoch
            )
        except wire.WireError:
            return False

    def others(self) -> list[int]:
        """Return the numbers of the other members, as far as the leader has heard of them."""
        chair = self.chair
        return [number for number in list(chair.members) if number != self.number] if chair else []

    def rouse(self, store: Store, number: int | None) -> None:
        """Have this member's own ear look again, wherever it waits."""
        if number is not None:
            store.set(self.layout.wake(number), "1")
        if self.chair:
            store.append(self.chair.bell, "\n")

    def lose(self) -> None:
        """Take note that the member is not registered any more, against its will."""
        self.leave()
        self.lapsed = True

    def leave(self) -> None:
        """Take note that the member is not registered any more."""
        self.leading = False
        self.number = None

    def pass_on(self, store: Store, heirs: list[int]) -> None:
        """Name the oldest of the heirs leader, if this member is; nobody when there are none."""
        self.leading = False
        noted = self.noted
        if noted is None or not self.is_mine():
            return
        heir = min(heirs, default=NOBODY)
        if self.swap(store, noted, noted.lead.passed_to(heir)) and heir != NOBODY:
            store.set(self.layout.wake(heir), "1")


def wake(store: Store, seat: Seat, numbers: Sequence[int]) -> None:
    """Have members look again, but for oneself."""
    keys = [seat.layout.wake(number) for number in numbers if number != seat.number]
    if keys:
        store.multi_set(keys, ["1"] * len(keys))


def round_record(layout: Layout, noted: Noted | None, value: bytes | None) -> list[Record]:
    """Return the round record as the listener takes it; nothing when there is none.

    Args:
        layout: The keys.
        noted: What could be read.
        value: What stands there; passed on as it is when it cannot be read.
    """
    if noted is None:
        return [] if value is None else [Record(layout.keys.round, value, 0, 0)]
    round_, revision = noted.lead.round, noted.lead.revision
    return [] if round_ is None else [Record(layout.keys.round, round_, revision, revision)]
