"""One measurement of ours beside one of a peer, run after run, and what came of it."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

RUNS: Final = 3
OURS: Final = "ours"

_SKIPPED: Final = "not measured at this size"
_SMALLER: Final = " (at a smaller size; not tried at this one)"

Measure = Callable[[int, float], float]
"""Measures once at a size, within so many seconds; raises :class:`NotMeasured`."""


class NotMeasured(Exception):
    """Why there is no figure: it never finished, or what is needed is not here."""


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        name: Of the case; in the results the store follows, as in ``formation/etcd``.
        sizes: The numbers of participants.
        unit: Of the figures.
        ours: Measure ours, by the store it runs on; see :func:`alone`.
        peers: Measure the others, by name: once, for all of ours.
        bounds: Measure the least it can take, by store: a name and its measure.
        more_is_better: For rates; for times and bytes it is less.
        remark: What a reader must know of it.
        peers_up_to: The largest size at which the peers are measured, too; bounds are at all.
        runs: How often.
    """

    name: str
    sizes: tuple[int, ...]
    unit: str
    ours: Mapping[str, Measure]
    peers: Mapping[str, Measure] = field(default_factory=dict)
    bounds: Mapping[str, tuple[str, Measure]] = field(default_factory=dict)
    more_is_better: bool = False
    remark: str = ""
    peers_up_to: int = 1_000_000
    runs: int = RUNS

    def named(self, store: str) -> str:
        """Return the name that stands in the results."""
        return f"{self.name}/{store}" if store else self.name

    def only(self, wanted: Callable[[str], bool]) -> Case:
        """Return the case with those of ours whose names are wanted."""
        ours = {store: measure for store, measure in self.ours.items() if wanted(self.named(store))}
        return replace(self, ours=ours)


def alone(measure: Measure) -> Mapping[str, Measure]:
    """Return what a case has for ``ours`` when there is one of it, on no store in particular."""
    return {"": measure}


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


def compare(
    case: Case, limit_s: float, is_late: Callable[[], bool] = lambda: False
) -> Iterator[Row]:
    """Measure a case at all its sizes, ours and the others by turns.

    Args:
        case: The case.
        limit_s: For any one measurement.
        is_late: Asked before each run: whether there is time for one only.
    """
    ours = {store: Series(f"{OURS} {store}".rstrip(), m) for store, m in case.ours.items()}
    peers = [Series(name, measure) for name, measure in case.peers.items()]
    bounds = {store: Series(*case.bounds[store]) for store in case.bounds if store in ours}
    for n in case.sizes:
        print(f"  {case.name} n={n}", file=sys.stderr, flush=True)
        everyone = (*ours.values(), *peers, *bounds.values())
        for series in everyone:
            series.begin()
        for peer in peers:
            if n > case.peers_up_to:
                peer.note = peer.note or _SKIPPED
        for run in range(case.runs):
            if is_late() and run:
                break
            for series in everyone:
                series.run(n, limit_s)
        for store, one in ours.items():
            others: list[Series | None] = [*peers, *([bounds[store]] if store in bounds else [])]
            for other in others or [None]:
                yield _row(case, store, n, one, other)


def _row(case: Case, store: str, n: int, ours: Series, other: Series | None) -> Row:
    peer = other.median if other else None
    notes = [case.remark, ours.note and f"ours: {ours.note}", other.note if other else ""]
    return Row(
        case=case.named(store),
        n=n,
        ours=ours.median,
        peer=peer,
        peer_name=other.name if other else "",
        unit=case.unit,
        ratio=times_better(ours.median, peer, more_is_better=case.more_is_better),
        runs=len(ours.figures),
        note="; ".join(filter(None, notes)),
        all_ours=tuple(ours.figures),
        all_peer=tuple(other.figures) if other else (),
    )


def times_better(ours: float | None, peer: float | None, *, more_is_better: bool) -> float | None:
    """How many times better ours is than the peer; None when one of them is missing, or zero."""
    if not ours or not peer:
        return None
    return ours / peer if more_is_better else peer / ours
