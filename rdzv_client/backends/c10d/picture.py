"""What stands in a run, read without taking part, under the keys of the wire.

Who takes part reads what it needs, and writes. This reads all, and writes nothing: what the
operator sees of a run is made from it. Only documents that are what they should be are in it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rdzv_client import wire
from rdzv_client.backends.c10d import layout as names_of
from rdzv_client.backends.c10d import lead as leads
from rdzv_client.backends.c10d.layout import ALL, ROUND, Layout, Store, peek, peek_all
from rdzv_client.backends.c10d.lead import Lead

log = logging.getLogger(__name__)

Changes = Mapping[str, bytes | None]
"""Documents by their keys, in the order to take them; None for one that is no more."""

_DOCUMENTS: Final = {
    "left": wire.Left,
    "op": wire.Settings,
    "op/drain": wire.Drain,
    "op/site": wire.Site,
}

PAST_ROUNDS: Final = 64
PAST_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True)
class PastRound:
    """A round that was formed: its record, and the rank records of all its members."""

    number: int
    documents: Mapping[str, bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.documents.values()))


class Picture:
    """One run as it was last read. Each reading costs as much as what has changed.

    Attributes:
        documents: All that stands in it, by key.
        past: The last rounds that were formed, the oldest first.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout, self._keys = layout, layout.keys
        self.documents: dict[str, bytes] = {}
        self.past: deque[PastRound] = deque(maxlen=PAST_ROUNDS)
        self._before: dict[str, bytes | None] = {}
        self._lead: Lead | None = None
        self._key_of: dict[int, str] = {}
        self._number_of: dict[str, int] = {}

    def read(self, store: Store, entry: bytes) -> Changes:
        """Read what was announced once; return what has changed by it."""
        self._before = {}
        if entry.startswith(b"{"):
            self._take_lead(store, entry)
        elif ALL.encode() in entry.split(b"\n"):
            self._read_all(store)
        else:
            self._read_names(store, names_of.names(entry))
        self._remember()
        return dict(self._changes())

    # --- what has changed ---

    def _set(self, key: str, value: bytes | None) -> None:
        self._before.setdefault(key, self.documents.get(key))
        if value is None:
            self.documents.pop(key, None)
        else:
            self.documents[key] = value

    def _changes(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield what is other than before; the round last, since it counts only with its ranks."""
        now = [(key, self.documents.get(key), old) for key, old in self._before.items()]
        now.sort(key=lambda change: (change[1] is not None, change[0] == self._keys.round))
        yield from ((key, new) for key, new, old in now if new != old)

    def _remember(self) -> None:
        """Keep the round if it stands, and all of its members have their ranks."""
        value = self.documents.get(self._keys.round)
        round_ = value and wire.decode(wire.Round, self._keys.round, value)
        if not value or not round_ or round_.phase != "complete":
            return
        if self.past and self.past[-1].number >= round_.number:
            return
        ranks = dict(self._placed(round_))
        if len(ranks) < round_.world_size:
            return
        self.past.append(PastRound(round_.number, {**ranks, self._keys.round: value}))
        while len(self.past) > 1 and sum(kept.size for kept in self.past) > PAST_BYTES:
            self.past.popleft()

    def _placed(self, round_: wire.Round) -> Iterator[tuple[str, bytes]]:
        for key, value in self.documents.items():
            if key.startswith(self._keys.ranks):
                rank = wire.decode(wire.Rank, key, value)
                if (rank.proposal, rank.leader) == (round_.proposal, round_.leader):
                    yield key, value

    # --- reading ---

    def _read_all(self, store: Store) -> None:
        for key in list(self.documents):
            self._set(key, None)
        self._key_of, self._number_of, self._lead = {}, {}, None
        self._read_names(store, names_of.names(peek(store, self._layout.catalog)))
        self._read_names(store, [ROUND])

    def _read_names(self, store: Store, names: Sequence[str]) -> None:
        values = peek_all(store, [self._layout.of(name) for name in names])
        for name in names:
            value = values.get(self._layout.of(name), b"")
            try:
                if name != ROUND:
                    self._take(name, value)
                elif value:
                    self._take_lead(store, value)
            except wire.WireError as error:
                log.warning("Ignored what stands in the store: %s", error)

    def _take_lead(self, store: Store, value: bytes) -> None:
        """Take what stands, or stood, under the round's key, unless something newer is known."""
        try:
            lead = leads.decode(self._layout.round, value)
            if lead.round is not None:
                wire.decode(wire.Round, self._layout.round, lead.round)
        except wire.WireError as error:
            log.warning("Ignored what stands in the store: %s", error)
            return
        if not lead.is_newer_than(self._lead):
            return
        before, self._lead = self._lead, lead
        if before is None or lead.placed != before.placed:
            self._read_ranks(store, lead)
        if lead.round is not None:
            self._set(self._keys.round, lead.round)

    def _read_ranks(self, store: Store, lead: Lead) -> None:
        for key in [key for key in self.documents if key.startswith(self._keys.ranks)]:
            self._set(key, None)
        ids = (peek(store, self._layout.roll(lead.ranks)) or b"").decode(errors="replace")
        wanted = (f"ranks/{lead.ranks}/{member}" for member in dict.fromkeys(ids.split()))
        self._read_names(store, names_of.names("\n".join(wanted).encode()))

    # --- taking ---

    def _take(self, name: str, value: bytes) -> None:
        kind, _, rest = name.rpartition("/")
        if kind == "members":
            self._take_member(int(rest), value)
        elif kind == "steps":
            self._take_steps(int(rest), value)
        elif not value:
            self._set(self._layout.of(name), None)
        elif kind.startswith("ranks"):
            if self._lead and kind == f"ranks/{self._lead.ranks}":
                self._put(wire.Rank, self._keys.rank(rest), value)
        elif kind == "op/gone":
            self._put(wire.Gone, self._keys.gone(rest), value)
            self._drop_members_of(rest)
        else:
            self._put(_DOCUMENTS[kind], self._layout.of(name), value)

    def _put(self, kind: type, key: str, value: bytes) -> None:
        wire.decode(kind, key, value)
        self._set(key, value)

    def _take_member(self, number: int, value: bytes) -> None:
        if not value:
            self._drop(number)
            return
        member = wire.decode(wire.Member, self._layout.member(number), value)
        key = self._keys.member(member.slot, member.id)
        same = self._number_of.get(key, number)
        # The same process again may have registered anew, and the older registration lingers.
        if same > number or self._keys.gone(member.uid) in self.documents:
            self._drop(number)
            return
        self._key_of.pop(same, None)
        self._key_of[number], self._number_of[key] = key, number
        self._set(key, value)

    def _take_steps(self, number: int, value: bytes) -> None:
        key = self._key_of.get(number)
        if key and value:
            self._put(wire.Progress, self._steps(key), value)

    def _steps(self, member: str) -> str:
        return self._keys.steps(member.rpartition("/")[2])

    def _drop(self, number: int) -> None:
        if key := self._key_of.pop(number, None):
            del self._number_of[key]
            self._set(key, None)
            if self._steps(key) in self.documents:
                self._set(self._steps(key), None)

    def _drop_members_of(self, uid: str) -> None:
        for number, key in list(self._key_of.items()):
            if wire.decode(wire.Member, key, self.documents[key]).uid == uid:
                self._drop(number)
