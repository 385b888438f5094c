"""What a member does on its connection, each as one job.

A job that was not answered in time is given up, and may yet be done to its end by a thread that
nobody waits for. So no job changes what the member holds of itself: that is for whoever called.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence

from rdzv_client import publication, wire
from rdzv_client.backends.c10d import layout as names_of
from rdzv_client.backends.c10d import lead as leads
from rdzv_client.backends.c10d import registration
from rdzv_client.backends.c10d.chair import retire
from rdzv_client.backends.c10d.layout import (
    BROUGHT_BACK,
    Store,
    announce,
    announce_round,
    counts,
    peek,
    ring,
)
from rdzv_client.backends.c10d.lead import NOBODY, Lead
from rdzv_client.backends.c10d.pulses import Pulses
from rdzv_client.backends.c10d.seat import Seat, wake

log = logging.getLogger(__name__)


def register(store: Store, seat: Seat, record: wire.Member) -> int:
    """Register a member, in its old place if it still has one; return its number."""
    registration.refuse_if_out(store, seat.layout, record)
    number = seat.number
    if number is None or not _write_again(store, seat, number, wire.encode(record)):
        number = registration.enrol(store, seat.layout, record)
    _claim(store, seat, number)
    return number


def _write_again(store: Store, seat: Seat, number: int, document: bytes) -> bool:
    key = seat.layout.member(number)
    there = peek(store, key)
    if not there or store.compare_set(key, there, document) != document:
        return False
    ring(store, seat.layout, [names_of.member(number)])
    return True


def _claim(store: Store, seat: Seat, number: int) -> None:
    """Lead, if nobody does."""
    if seat.read(store) is None:
        first = leads.encode(Lead(epoch=secrets.token_hex(8), leader=number))
        seat.note(store.compare_set(seat.layout.round, b"", first))
    noted = seat.noted
    if noted and noted.lead.leader == NOBODY:
        seat.swap(store, noted, noted.lead.passed_to(number))


def rewrite(store: Store, seat: Seat, document: bytes) -> bool:
    """Write the member's record; return False if it does not stand there as it was written."""
    number = seat.number
    if number is None:
        return False
    key = seat.layout.member(number)
    there = store.compare_set(key, seat.document, document)
    # One that is not there answers as if it were what was expected.
    if there != document or (document == seat.document and not peek(store, key)):
        return False
    ring(store, seat.layout, [names_of.member(number)])
    return True


def report(store: Store, seat: Seat, document: bytes) -> bool:
    """Say how far training has come; the observer alone is told."""
    number = seat.number
    if number is None:
        return False
    name, key = names_of.steps(number), seat.layout.steps(number)
    is_listed = store.check([key])
    store.set(key, document)
    if not is_listed:
        store.append(seat.layout.catalog, f"{name}\n")
    announce(store, seat.layout, [name])
    return True


def publish(store: Store, seat: Seat, new: publication.Publication, round_revision: int) -> bool:
    """Write the round as the leader, and wake all; return whether it is written."""
    layout, noted = seat.layout, seat.noted
    if not seat.leading or noted is None or noted.lead.revision != round_revision:
        return False
    lead, document = noted.lead, wire.encode(new.round)
    changed = lead.with_round(document)
    if new.ranks:
        keys = [layout.rank(lead.term, rank.id) for rank in new.ranks]
        store.multi_set(keys, [wire.encode(rank) for rank in new.ranks])
        store.set(layout.roll(lead.term), "\n".join(rank.id for rank in new.ranks))
        changed = lead.with_places(document, lead.term)
    written = seat.swap(store, noted, changed)
    if written:
        wake(store, seat, seat.others())
        announce_round(store, layout, leads.encode(changed))
    else:
        seat.rouse(store, seat.number)
    return written


def refuse(store: Store, seat: Seat, left: wire.Left) -> None:
    """Take out another member as the leader."""
    seat.read(store)
    chair = seat.chair
    if chair is None or not seat.is_mine(chair.term):
        return
    key = seat.layout.keys.member(left.slot, left.id)
    for number, seated in list(chair.members.items()):
        if seated.key == key:
            registration.farewell(store, seat.layout, left, number)


def restore(
    store: Store, seat: Seat, member: str, lost: publication.Restoration, round_revision: int
) -> None:
    """Bring back what the store has forgotten, and have the leader read it."""
    layout, changed = seat.layout, []
    if lost.rank:
        changed.append(names_of.rank(BROUGHT_BACK, member))
        store.compare_set(layout.of(changed[0]), b"", wire.encode(lost.rank))
        store.append(layout.roll(BROUGHT_BACK), f"{member}\n")
    seat.read(store)
    noted = seat.noted
    if lost.round and noted and noted.lead.revision == round_revision:
        new = noted.lead.with_places(wire.encode(lost.round), BROUGHT_BACK)
        if seat.swap(store, noted, new):
            changed.append(names_of.ROUND)
    ring(store, layout, changed)


def leave(store: Store, seat: Seat, left: wire.Left) -> None:
    """Take the member out by its own wish, and name an heir if it leads.

    Nobody may be left who would tell an observer.
    """
    changed = registration.farewell(store, seat.layout, left, seat.number)
    seat.pass_on(store, seat.others())
    announce(store, seat.layout, changed)


def beat(store: Store, seat: Seat, pulses: Pulses) -> None:
    """Show life, and look for those who show none: as the leader for all, else for the leader."""
    layout, number, noted = seat.layout, seat.number, seat.noted
    if number is None or noted is None:
        return
    store.add(layout.beat(number), 1)
    leader = noted.lead.leader
    watched = seat.others() if seat.leading else [leader] if leader not in (NOBODY, number) else []
    read = counts(store, [layout.beat(other) for other in watched])
    silent = pulses.observe(dict(zip(watched, read, strict=True)), time.monotonic())
    if silent and seat.leading:
        log.info("As the leader: no sign of life from %s.", ", ".join(_ids(seat, silent)))
        retire(store, layout, silent)
        ring(store, layout, [names_of.member(other) for other in silent])
    elif silent or leader == NOBODY:
        _take_over(store, seat, number, leader)


def _ids(seat: Seat, numbers: Sequence[int]) -> list[str]:
    members = dict(seat.chair.members) if seat.chair else {}
    return [members[n].key.rpartition("/")[2] if n in members else str(n) for n in numbers]


def _take_over(store: Store, seat: Seat, number: int, leader: int) -> None:
    """Lead in place of one that shows no life, unless somebody else does by now."""
    seat.read(store)
    noted = seat.noted
    if noted and noted.lead.leader == leader:
        if not seat.swap(store, noted, noted.lead.passed_to(number)):
            return
        log.info("Leading from now on: the leader showed no sign of life.")
        retire(store, seat.layout, [leader] if leader != NOBODY else [])
    seat.rouse(store, number)
