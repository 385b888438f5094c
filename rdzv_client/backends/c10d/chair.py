"""What the leader hears: the whole run first, then what the doorbell names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rdzv_client import wire
from rdzv_client.backends.c10d import layout as names_of
from rdzv_client.backends.c10d.layout import Layout, Store, peek, peek_all
from rdzv_client.backends.c10d.lead import Lead
from rdzv_client.replica import Record

log = logging.getLogger(__name__)

_TURNS_PER_TERM: Final = 2**32


@dataclass(frozen=True)
class Seated:
    """A registered member: its key on the wire, and its pod."""

    key: str
    uid: str


@dataclass
class Heard:
    """What has changed; ``arrived`` are the numbers of members heard of for the first time."""

    puts: list[Record] = field(default_factory=list)
    deletes: list[str] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)


class Chair:
    """The leader's knowledge of its run, in one term.

    Args:
        layout: The keys.
        term: The term.

    Attributes:
        members: Who is registered, by number. Read by other threads, changed by the listening one.
    """

    def __init__(self, layout: Layout, term: int) -> None:
        self.layout, self.term = layout, term
        self.members: dict[int, Seated] = {}
        self._gone: set[str] = set()
        self._turn = 0

    @property
    def bell(self) -> str:
        """The key that is there as soon as somebody has rung."""
        return self.layout.bells(self._turn)

    def take(self, store: Store) -> bool:
        """Have the doorbell ring here; return False if it is a later leader's already."""
        first = self.term * _TURNS_PER_TERM
        turn = store.add(self.layout.bell, 0)
        while turn < first:
            there = int(store.compare_set(self.layout.bell, str(turn), str(first)))
            if there == first:
                # Whoever led before still waits at its last bell.
                store.append(self.layout.bells(turn), "\n")
            turn = there
        self._turn = turn
        return turn < first + _TURNS_PER_TERM

    def turn(self, store: Store) -> list[str] | None:
        """Return the names that were rung since the last turn; None if another leads by now."""
        turn = self._turn
        there = store.compare_set(self.layout.bell, str(turn), str(turn + 1))
        if there != str(turn + 1).encode():
            return None
        self._turn = turn + 1
        rung = names_of.names(peek(store, self.layout.bells(turn)))
        # A late ringer may have brought the last one back; it rang again by then.
        store.delete_key(self.layout.bells(turn - 1))
        return rung

    def everything(self, store: Store, lead: Lead) -> Heard:
        """Read all that stands in the run but the round itself, and how far training has come."""
        catalog = names_of.names(peek(store, self.layout.catalog))
        heard = self.read(store, [name for name in catalog if not name.startswith("steps/")])
        ids = (peek(store, self.layout.roll(lead.ranks)) or b"").decode(errors="replace")
        wanted = [f"ranks/{lead.ranks}/{member}" for member in dict.fromkeys(ids.split())]
        ranks = self.read(store, names_of.names("\n".join(wanted).encode()))
        heard.puts += ranks.puts
        return heard

    def read(self, store: Store, names: Sequence[str]) -> Heard:
        """Read the documents of these names."""
        heard = Heard()
        values = peek_all(store, [self.layout.of(name) for name in names])
        for name in names:
            value = values.get(self.layout.of(name), b"")
            kind, _, rest = name.partition("/")
            try:
                if kind == "members":
                    self._take_member(store, int(rest), value, heard)
                elif value and name.startswith("op/gone/"):
                    self._take_gone(store, value, heard)
                elif value and name != names_of.ROUND:
                    heard.puts.append(Record(self._key(name), value, 0, 0))
            except wire.WireError as error:
                log.warning("Ignored what stands in the store: %s", error)
        return heard

    def _key(self, name: str) -> str:
        if name.startswith("ranks/"):
            return self.layout.keys.rank(name.split("/", 2)[2])
        return self.layout.of(name)

    def _take_member(self, store: Store, number: int, value: bytes, heard: Heard) -> None:
        if not value:
            self._drop([number], heard)
            return
        member = wire.decode(wire.Member, self.layout.member(number), value)
        key = self.layout.keys.member(member.slot, member.id)
        same = [other for other, seated in self.members.items() if seated.key == key]
        if member.uid in self._gone or max(same, default=0) > number:
            retire(store, self.layout, [number])
            self._drop([number], heard)
            return
        # The same process again: it had to register anew, and the older registration lingers.
        older = [other for other in same if other < number]
        retire(store, self.layout, older)
        for other in older:
            del self.members[other]
        if number not in self.members:
            heard.arrived.append(number)
        self.members[number] = Seated(key, member.uid)
        heard.puts.append(Record(key, value, number, number))

    def _take_gone(self, store: Store, value: bytes, heard: Heard) -> None:
        gone = wire.decode(wire.Gone, self.layout.keys.gone_prefix, value)
        self._gone.add(gone.uid)
        heard.puts.append(Record(self.layout.keys.gone(gone.uid), value, 0, 0))
        out = [number for number, seated in self.members.items() if seated.uid == gone.uid]
        retire(store, self.layout, out)
        self._drop(out, heard)

    def _drop(self, numbers: Iterable[int], heard: Heard) -> None:
        for number in numbers:
            if seated := self.members.pop(number, None):
                heard.puts = [record for record in heard.puts if record.key != seated.key]
                heard.deletes.append(seated.key)


def retire(store: Store, layout: Layout, numbers: Iterable[int]) -> None:
    """Take members out, and have them look, if they still can."""
    for number in numbers:
        store.set(layout.member(number), b"")
        store.delete_key(layout.beat(number))
        store.delete_key(layout.steps(number))
        store.set(layout.wake(number), "1")
