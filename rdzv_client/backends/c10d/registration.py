"""How a member comes into the run, and how it goes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from rdzv_client import wire
from rdzv_client.backends import evicted
from rdzv_client.backends.c10d import layout as names_of
from rdzv_client.backends.c10d.chair import retire
from rdzv_client.backends.c10d.layout import Layout, Store, peek, peek_all, write

log = logging.getLogger(__name__)


def refuse_if_out(store: Store, layout: Layout, record: wire.Member) -> None:
    """Raise :class:`rdzv_client.backends.Evicted` if the member was declared gone, or has left."""
    gone, left = names_of.gone(record.uid), names_of.left(record.id)
    if value := peek(store, layout.of(gone)):
        raise evicted(record, wire.decode(wire.Gone, gone, value))
    if value := peek(store, layout.of(left)):
        raise evicted(record, wire.decode(wire.Left, left, value))


def records(store: Store, layout: Layout) -> list[bytes]:
    """Read the records of all who are registered, the oldest first."""
    catalog = names_of.names(peek(store, layout.catalog))
    members = [layout.of(name) for name in catalog if name.startswith("members/")]
    there = peek_all(store, members)
    return [there[key] for key in members if there.get(key)]


def numbered(store: Store, layout: Layout) -> dict[int, wire.Member]:
    """Read who is registered, by number; a record that cannot be read is left out."""
    catalog = names_of.names(peek(store, layout.catalog))
    names = [name for name in catalog if name.startswith("members/")]
    there = peek_all(store, [layout.of(name) for name in names])
    members = {}
    for name in names:
        with contextlib.suppress(wire.WireError):
            number = int(name.partition("/")[2])
            members[number] = wire.decode(wire.Member, name, there.get(layout.of(name), b""))
    return members


def refuse_poison(store: Store, layout: Layout, number: int | None) -> None:
    """Raise WireError if a counter holds what is no number: to add to it ends the connection."""
    keys = [layout.numbers, layout.bell]
    for key in [*keys, layout.beat(number)] if number is not None else keys:
        value = peek(store, key)
        if value and not value.isdigit():
            raise wire.WireError(f"the counter under {key!r} is no number: {value[:40]!r}")


def enrol(store: Store, layout: Layout, record: wire.Member) -> int:
    """Register a member, in place of whoever holds its slot; return its number."""
    number = store.add(layout.numbers, 1)
    farewells = {}
    if record.slot is not None:
        farewells = _take_over_slot(store, layout, record, record.slot, number)
    store.add(layout.beat(number), 1)
    write(store, layout, {**farewells, names_of.member(number): wire.encode(record)})
    return number


def _take_over_slot(
    store: Store, layout: Layout, record: wire.Member, slot: int, number: int
) -> dict[str, bytes]:
    """A new process in the same slot replaces the older one at once, and for good."""
    holder = _swap_holder(store, layout.slot(slot), str(number).encode())
    if not holder.isdigit():
        return {}
    name = names_of.member(int(holder))
    value = peek(store, layout.of(name))
    if not value:
        return {}
    old = wire.decode(wire.Member, name, value)
    if old.id == record.id:
        return {}
    retire(store, layout, [int(holder)])
    reason = f"its slot {old.slot} was taken over by {record.id}"
    left = wire.Left(old.id, old.uid, old.slot, old.name, "left", reason)
    return {names_of.left(old.id): wire.encode(left), name: b""}


def _swap_holder(store: Store, key: str, new: bytes) -> bytes:
    """Write a key, and return what stood there before; empty when nothing did."""
    before = b""
    while (there := store.compare_set(key, before, new)) != new:
        before = there
    return before


def farewell(store: Store, layout: Layout, left: wire.Left, number: int | None) -> Sequence[str]:
    """Say how a member left, and take it out if it is still in; return what has changed."""
    documents = {names_of.left(left.id): wire.encode(left)}
    if number is not None:
        retire(store, layout, [number])
        documents[names_of.member(number)] = b""
    write(store, layout, documents)
    return list(documents)
