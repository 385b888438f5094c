"""Where things stand in a TCPStore, and the few operations on it that never block.

A TCPStore is a dictionary with counters. It has no lists, no leases and no watches, and reading a
key that is not there blocks. So the run keeps a catalog of the names of its documents, members
show life by counters, and whoever waits does so for a key that somebody will set:

===========================  =====================================================================
key (under the run's)        content
===========================  =====================================================================
``round``                    term, leader and round record in one (:class:`.lead.Lead`), so that one
                             compare-and-set is both of the leader's fences
``numbers``                  counter: each registration takes the next number, so numbers tell age
``members/<number>``         the member's record; empty when it is out
``steps/<number>``           how far its training has come; for the observer
``left/<member>``            how it left
``op/...``                   what the operator writes
``ranks/<term>/<id>``        a place in the round, under the term of the leader who wrote it, so
                             that a deposed one cannot touch it; 0: brought back by members
``rolls/<term>``             the ids that have one
``catalog``                  the names of all members, left and operator's documents; appended to
``bell``, ``bells/<n>``      the number of the leader's doorbell, and the names of what has changed
``~<digest>/<number>``       counter: the member's signs of life, under a short key of its own
``wakes/<number>``           set to have the member look again
``watch``, ``watches/<n>``   the number of the observer's doorbell, above 0 where somebody observes,
                             and what it is told
``slots/<slot>``             the number of the member that holds the slot
===========================  =====================================================================
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from rdzv_client import wire

SETTINGS: Final = "op/settings"
ROUND: Final = "round"
BROUGHT_BACK: Final = 0
ALL: Final = "all"
"""Announced when who leads has changed: everything may have."""

_ABSENT: Final = b"?"  # what no document of ours is
_END: Final = b"\0"  # what no document has
_NAME = re.compile(
    r"(?:(?:members|steps)/\d{1,18}|(?:left|op/gone|op/drain|op/site|ranks/\d{1,18})/[A-Za-z0-9._:@+-]{1,253}|op/settings|round)"
)


class Store(Protocol):
    """What is needed of torch's TCPStore."""

    def set(self, key: str, value: str | bytes) -> None: ...
    def add(self, key: str, amount: int) -> int: ...
    def append(self, key: str, value: str | bytes) -> None: ...
    def check(self, keys: list[str]) -> bool: ...
    def compare_set(self, key: str, expected: str | bytes, desired: str | bytes) -> bytes: ...
    def delete_key(self, key: str) -> bool: ...
    def multi_get(self, keys: list[str]) -> list[bytes]: ...
    def multi_set(self, keys: list[str], values: Sequence[str | bytes]) -> None: ...
    def wait(self, keys: list[str], timeout: timedelta) -> None: ...


@dataclass(frozen=True)
class Layout:
    """The keys of one run."""

    keys: wire.Keys

    def of(self, name: str) -> str:
        return self.keys.prefix + name

    @property
    def round(self) -> str:
        return self.of(ROUND)

    @property
    def numbers(self) -> str:
        return self.of("numbers")

    @property
    def catalog(self) -> str:
        return self.of("catalog")

    @property
    def bell(self) -> str:
        return self.of("bell")

    def bells(self, number: int) -> str:
        return self.of(f"bells/{number}")

    def member(self, number: int) -> str:
        return self.of(member(number))

    def steps(self, number: int) -> str:
        return self.of(steps(number))

    def rank(self, term: int, member_id: str) -> str:
        return self.of(rank(term, member_id))

    def roll(self, term: int) -> str:
        return self.of(f"rolls/{term}")

    def beat(self, number: int) -> str:
        return f"{self._beats}{number}"

    @functools.cached_property
    def _beats(self) -> str:
        """Short, whatever the run's id: an idle run's traffic is little else than these keys."""
        digest = hashlib.sha256(self.keys.prefix.encode()).digest()[:6]
        return f"~{base64.urlsafe_b64encode(digest).decode()}/"

    @property
    def watch(self) -> str:
        return self.of("watch")

    def watches(self, number: int) -> str:
        return self.of(f"watches/{number}")

    def wake(self, number: int) -> str:
        return self.of(f"wakes/{number}")

    def slot(self, slot: int) -> str:
        return self.of(f"slots/{slot}")


def member(number: int) -> str:
    return f"members/{number}"


def steps(number: int) -> str:
    return f"steps/{number}"


def left(member_id: str) -> str:
    return "left/" + wire.require_token("member id", member_id)


def gone(uid: str) -> str:
    return "op/gone/" + wire.require_token("pod uid", uid)


def drain(uid: str) -> str:
    return "op/drain/" + wire.require_token("pod uid", uid)


def site(node: str) -> str:
    return "op/site/" + wire.require_token("node", node)


def rank(term: int, member_id: str) -> str:
    return f"ranks/{term}/" + wire.require_token("member id", member_id)


def names(content: bytes | None) -> list[str]:
    """Return the names in a catalog or a bell, each once; what is no name of ours is left out."""
    lines = (content or b"").decode(errors="replace").split("\n")
    return [name for name in dict.fromkeys(lines) if _NAME.fullmatch(name)]


# --- operations --------------------------------------------------------------------------------


def peek(store: Store, key: str) -> bytes | None:
    """Read a key without waiting for it; None when it is not there.

    A compare-and-set that cannot change anything is the one such read that a TCPStore offers.
    """
    value = store.compare_set(key, _ABSENT, _ABSENT)
    return None if value == _ABSENT else value


def peek_all(store: Store, keys: Sequence[str]) -> Mapping[str, bytes]:
    """Read those of the keys that are there, without waiting for the others."""
    if len(keys) > 2 and store.check(list(keys)):
        return dict(zip(keys, store.multi_get(list(keys)), strict=True))
    found = ((key, peek(store, key)) for key in keys)
    return {key: value for key, value in found if value is not None}


def counts(store: Store, keys: Sequence[str]) -> list[int]:
    """Read counters; those that are not there are 0."""
    if len(keys) > 2 and store.check(list(keys)):
        return [_number(value) for value in store.multi_get(list(keys))]
    return [store.add(key, 0) for key in keys]


def write(store: Store, layout: Layout, documents: Mapping[str, bytes]) -> None:
    """Write documents that are new or changed, and have the leader read them."""
    for name, value in documents.items():
        store.set(layout.of(name), value)
    store.append(layout.catalog, _lines(documents))
    ring(store, layout, documents)


def ring(store: Store, layout: Layout, changed: Iterable[str] = ()) -> None:
    """Name to the leader what has changed; returns when it is sure to be read.

    The leader moves to the next bell before it reads one. So a name is read if the bell that it
    was added to is still the leader's afterwards; else it goes to the next one as well.
    """
    number = store.add(layout.bell, 0)
    while True:
        store.append(layout.bells(number), _lines(changed))
        now = store.add(layout.bell, 0)
        if now == number:
            return
        number = now


def announce(store: Store, layout: Layout, changed: Iterable[str]) -> None:
    """Tell the run's observer, where there is one, the names of what has changed, or :data:`ALL`.

    Who leads tells it all that it hears.
    """
    _announce(store, layout, _lines(changed).encode())


def announce_round(store: Store, layout: Layout, value: bytes) -> None:
    """Tell the observer what stands under the round's key now: it sees each, however short."""
    _announce(store, layout, value)


def _announce(store: Store, layout: Layout, entry: bytes) -> None:
    number = store.add(layout.watch, 0)
    while number:  # as with the doorbell
        store.append(layout.watches(number), entry + _END)
        now = store.add(layout.watch, 0)
        if now == number:
            return
        number = now


def announced(content: bytes | None) -> list[bytes]:
    """Return what the observer was told, each time it was."""
    return [entry for entry in (content or b"").split(_END) if entry]


def _lines(all_names: Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in all_names) or "\n"


def _number(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) < 19 else 0
