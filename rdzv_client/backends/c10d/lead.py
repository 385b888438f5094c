"""Who leads, and the round: one key, because a TCPStore has no transaction over several (pure)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from rdzv_client import wire

VERSION: Final = 1
NOBODY: Final = 0

_MOST: Final = 2**53
_NUMBERS: Final = ("seq", "term", "leader", "revision", "ranks", "placed")


@dataclass(frozen=True)
class Lead:
    """Term, leader and round. Whoever writes it compares with the whole of what it has read.

    Attributes:
        epoch: Random; another one means that the store was replaced by an empty one.
        seq: Grows by one with every write.
        term: Grows by one when the leader changes.
        leader: The leader's number; 0 when nobody leads.
        revision: The ``seq`` with which the round record last changed; 0 when there is none.
        ranks: The term under which the round's rank records stand.
        placed: The ``seq`` with which they were last written.
        round: The round record, as its document.
    """

    epoch: str
    seq: int = 1
    term: int = 1
    leader: int = NOBODY
    revision: int = 0
    ranks: int = 0
    placed: int = 0
    round: bytes | None = None

    def passed_to(self, number: int) -> Lead:
        """Return it with another leader."""
        return replace(self, seq=self.seq + 1, term=self.term + 1, leader=number)

    def with_round(self, round_: bytes) -> Lead:
        """Return it with another round record."""
        return replace(self, seq=self.seq + 1, revision=self.seq + 1, round=round_)

    def with_places(self, round_: bytes, ranks: int) -> Lead:
        """Return it with another round record, whose ranks stand under that term."""
        return replace(self.with_round(round_), ranks=ranks, placed=self.seq + 1)

    def is_newer_than(self, other: Lead | None) -> bool:
        return other is None or self.epoch != other.epoch or self.seq > other.seq


def encode(lead: Lead) -> bytes:
    """Return it as it stands in the store: a line of its own fields, then the round's document."""
    fields = {"v": VERSION, **asdict(lead)}
    del fields["round"]
    header = json.dumps(fields, separators=(",", ":")).encode()
    return header if lead.round is None else header + b"\n" + lead.round


def decode(key: str, value: bytes) -> Lead:
    """Read it; the round's document is left as it is, for :func:`rdzv_client.wire.decode`.

    Raises:
        WireError: it is too large, or its fields are not what they must be.
    """
    header, separator, round_ = value.partition(b"\n")
    try:
        if len(value) > wire.MAX_DOCUMENT_BYTES:
            raise ValueError
        fields = json.loads(header)
        numbers = {name: _natural(fields[name]) for name in _NUMBERS}
        lead = Lead(str(fields["epoch"]), **numbers, round=round_ if separator else None)
        if fields["v"] != VERSION:
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise wire.WireError(
            f"what stands under {key!r} is not a round with its leader: {value[:40]!r}"
        ) from None
    return lead


def _natural(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError
    return value
