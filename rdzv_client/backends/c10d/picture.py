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
    """One run as it was last read.

    Attributes:
        documents: All that stands in it, by key.
        past: The last rounds that were formed, the oldest first.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.documents: Mapping[str, bytes] = {}
        self.past: Sequence[PastRound] = ()
        self._lead: Lead | None = None
        self._numbers: dict[int, str] = {}

    def read(self, store: Store, entry: bytes) -> Changes:
        """Read what was announced once; return what has changed by it."""
        draft = _Draft(self._layout, store, self.documents, self._numbers, self._lead)
        if entry.startswith(b"{"):
            draft.take_lead(entry)
        elif ALL.encode() in entry.split(b"\n"):
            draft.read_all()
        else:
            draft.read_names(names_of.names(entry))
        before, self.documents = self.documents, draft.documents
        self._numbers, self._lead = draft.numbers, draft.lead
        self._remember()
        return dict(_difference(before, draft.documents, self._layout.keys.round))

    def _remember(self) -> None:
        """Keep the round if it stands, and all of its members have their ranks."""
        keys, past = self._layout.keys, deque(self.past)
        value = self.documents.get(keys.round)
        round_ = value and wire.decode(wire.Round, keys.round, value)
        if not value or not round_ or round_.phase != "complete":
            return
        if past and past[-1].number >= round_.number:
            return
        ranks = dict(_placed(self.documents, keys, round_))
        if len(ranks) < round_.world_size:
            return
        past.append(PastRound(round_.number, {**ranks, keys.round: value}))
        while len(past) > PAST_ROUNDS or (
            len(past) > 1 and sum(kept.size for kept in past) > PAST_BYTES
        ):
            past.popleft()
        self.past = tuple(past)


class _Draft:
    """The picture while it is being changed."""

    def __init__(
        self,
        layout: Layout,
        store: Store,
        documents: Mapping[str, bytes],
        numbers: Mapping[int, str],
        lead: Lead | None,
    ) -> None:
        self._layout, self._keys, self._store = layout, layout.keys, store
        self.documents, self.numbers, self.lead = dict(documents), dict(numbers), lead

    def read_all(self) -> None:
        self.documents, self.numbers, self.lead = {}, {}, None
        self.read_names(names_of.names(peek(self._store, self._layout.catalog)))
        self.read_names([ROUND])

    def read_names(self, names: Sequence[str]) -> None:
        values = peek_all(self._store, [self._layout.of(name) for name in names])
        for name in names:
            value = values.get(self._layout.of(name), b"")
            try:
                self._take(name, value)
            except wire.WireError as error:
                log.warning("Ignored what stands in the store: %s", error)

    def take_lead(self, value: bytes) -> None:
        """Take what stands, or stood, under the round's key, unless something newer is known."""
        try:
            lead = leads.decode(self._layout.round, value)
            if lead.round is not None:
                wire.decode(wire.Round, self._layout.round, lead.round)
        except wire.WireError as error:
            log.warning("Ignored what stands in the store: %s", error)
            return
        if not lead.is_newer_than(self.lead):
            return
        before, self.lead = self.lead, lead
        if before is None or lead.placed != before.placed:
            self._read_ranks(lead)
        if lead.round is not None:
            self.documents[self._keys.round] = lead.round

    def _read_ranks(self, lead: Lead) -> None:
        for key in [key for key in self.documents if key.startswith(self._keys.ranks)]:
            del self.documents[key]
        ids = (peek(self._store, self._layout.roll(lead.ranks)) or b"").decode(errors="replace")
        wanted = (f"ranks/{lead.ranks}/{member}" for member in dict.fromkeys(ids.split()))
        self.read_names(names_of.names("\n".join(wanted).encode()))

    def _take(self, name: str, value: bytes) -> None:
        kind, _, rest = name.rpartition("/")
        if name == ROUND:
            if value:
                self.take_lead(value)
        elif kind == "members":
            self._take_member(int(rest), value)
        elif not value:
            self.documents.pop(self._layout.of(name), None)
        elif kind.startswith("ranks"):
            if self.lead and kind == f"ranks/{self.lead.ranks}":
                self._put(wire.Rank, self._keys.rank(rest), value)
        elif kind == "op/gone":
            self._put(wire.Gone, self._keys.gone(rest), value)
            self._drop_members_of(rest)
        else:
            document = {"left": wire.Left, "op/drain": wire.Drain, "op": wire.Settings}[kind]
            self._put(document, self._layout.of(name), value)

    def _put(self, kind: type, key: str, value: bytes) -> None:
        wire.decode(kind, key, value)
        self.documents[key] = value

    def _take_member(self, number: int, value: bytes) -> None:
        if not value:
            self._drop(number)
            return
        member = wire.decode(wire.Member, self._layout.member(number), value)
        key = self._keys.member(member.slot, member.id)
        same = [other for other, its_key in self.numbers.items() if its_key == key]
        # The same process again may have registered anew, and the older registration lingers.
        if max(same, default=0) > number or self._keys.gone(member.uid) in self.documents:
            self._drop(number)
            return
        for older in same:
            del self.numbers[older]
        self.numbers[number] = key
        self.documents[key] = value

    def _drop(self, number: int) -> None:
        if key := self.numbers.pop(number, None):
            self.documents.pop(key, None)

    def _drop_members_of(self, uid: str) -> None:
        for number, key in list(self.numbers.items()):
            if wire.decode(wire.Member, key, self.documents[key]).uid == uid:
                self._drop(number)


def _placed(
    documents: Mapping[str, bytes], keys: wire.Keys, round_: wire.Round
) -> Iterator[tuple[str, bytes]]:
    for key, value in documents.items():
        if key.startswith(keys.ranks):
            rank = wire.decode(wire.Rank, key, value)
            if (rank.proposal, rank.leader) == (round_.proposal, round_.leader):
                yield key, value


def _difference(
    before: Mapping[str, bytes], after: Mapping[str, bytes], last: str
) -> Iterator[tuple[str, bytes | None]]:
    """Yield what has changed; the round comes last, since it counts only with its ranks."""
    for key in before:
        if key not in after:
            yield key, None
    for key in sorted(after, key=lambda key: key == last):
        if before.get(key) != after[key]:
            yield key, after[key]
