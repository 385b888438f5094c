"""One measurement of ours beside one of a peer, run after run, and what came of it."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

RUNS: Final = 3
OURS: Final = "ours"
BOUND: Final = "bound"

_SKIPPED: Final = "not measured at this size in the quick run"
_SMALLER: Final = " (at a smaller size; not tried at this one)"

Measure = Callable[[int, float], float]
"""Measures once at a size, within so many seconds; raises :class:`NotMeasured`."""


class NotMeasured(Exception):
    """Why there is no figure: it never finished, or what is needed is not here."""


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        name: Of the case, as it stands in the results.
        sizes: The numbers of participants.
        unit: Of the figures.
        ours: Measures ours.
        peers: Measure the others, by name.
        more_is_better: For rates; for times and bytes it is less.
        remark: What a reader must know of it.
        peers_up_to: The largest size at which the peers are measured, too; bounds are at all.
    """

    name: str
    sizes: tuple[int, ...]
    unit: str
    ours: Measure
    peers: Mapping[str, Measure] = field(default_factory=dict)
    more_is_better: bool = False
    remark: str = ""
    peers_up_to: int = 1_000_000


@dataclass(frozen=True)
class Row:
    """What came of a case at one size, against one peer: medians, and all single figures."""

    case: str
    n: int
    ours: float | None
    peer: float | None
    peer_name: str
    unit: str
    ratio: float | None
    runs: int
    note: str = ""
    all_ours: tuple[float, ...] = ()
    all_peer: tuple[float, ...] = ()

    def document(self) -> dict[str, Any]:
        """What of it stands in the results file."""
        names = ("case", "n", "ours", "peer", "peer_name", "unit", "ratio", "runs")
        document = {name: getattr(self, name) for name in names}
        return {**document, "note": self.note} if self.note else document


class Series:
    """The figures of one side of a case. A side that fails is not tried again at larger sizes."""

    def __init__(self, name: str, measure: Measure) -> None:
        self.name, self._measure = name, measure
        self.figures: list[float] = []
        self.note = ""

    def begin(self) -> None:
        """Go on with the next size."""
        self.figures = []
        if self.note and self.note != _SKIPPED and _SMALLER not in self.note:
            self.note += _SMALLER

    def run(self, n: int, limit_s: float) -> None:
        """Measure once more."""
        if self.note:
            return
        try:
            self.figures.append(self._measure(n, limit_s))
        except NotMeasured as error:
            self.note = str(error)
        print(f"    {self.name}: {self._last()}", file=sys.stderr, flush=True)

    def _last(self) -> str:
        return self.note or f"{self.figures[-1]:.4g}"

    @property
    def median(self) -> float | None:
        return None if self.note or not self.figures else statistics.median(self.figures)


def compare(case: Case, limit_s: float) -> Iterator[Row]:
    """Measure a case at all its sizes, ours and the peers by turns.

    Args:
        case: The case.
        limit_s: For any one measurement.
    """
    ours = Series(OURS, case.ours)
    peers = [Series(name, measure) for name, measure in case.peers.items()]
    for n in case.sizes:
        print(f"  {case.name} n={n}", file=sys.stderr, flush=True)
        for series in (ours, *peers):
            series.begin()
        for peer in peers:
            if n > case.peers_up_to and not peer.name.startswith(BOUND):
                peer.note = peer.note or _SKIPPED
        for _ in range(RUNS):
            for series in (ours, *peers):
                series.run(n, limit_s)
        for peer in peers:
            yield _row(case, n, ours, peer)
        if not peers:
            yield _row(case, n, ours, Series("", case.ours))


def _row(case: Case, n: int, ours: Series, peer: Series) -> Row:
    notes = [case.remark, ours.note and f"ours: {ours.note}", peer.note]
    return Row(
        case=case.name,
        n=n,
        ours=ours.median,
        peer=peer.median,
        peer_name=peer.name,
        unit=case.unit,
        ratio=times_better(ours.median, peer.median, more_is_better=case.more_is_better),
        runs=len(ours.figures),
        note="; ".join(filter(None, notes)),
        all_ours=tuple(ours.figures),
        all_peer=tuple(peer.figures),
    )


def times_better(ours: float | None, peer: float | None, *, more_is_better: bool) -> float | None:
    """How many times better ours is than the peer; None when one of them is missing, or zero."""
    if not ours or not peer:
        return None
    return ours / peer if more_is_better else peer / ours
