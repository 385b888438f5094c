"""Growth curves over the number of members, both axes logarithmic, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.comparison import Row

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT, _MARGIN = 460, 340, 56
_COLOURS: Final = ("#0b6e4f", "#b3001b", "#e08e00", "#7a7a7a", "#5b3fa0")
_PANELS: Final = (
    ("formation/etcd", "Round on etcd: seconds"),
    ("formation/c10d", "Round on a TCPStore: seconds"),
    ("formation-bytes/etcd", "Round on etcd: bytes"),
    ("formation-bytes/c10d", "Round on a TCPStore: bytes"),
)


def growth(rows: Iterable[Row]) -> str:
    """Return a drawing with a panel for each case of formation that was measured."""
    rows = list(rows)
    shown = [(title, curves(rows, case)) for case, title in _PANELS]
    panels = [(title, found) for title, found in shown if found]
    body = "".join(
        f'<g transform="translate({i % 2 * _WIDTH} {i // 2 * _HEIGHT})">{_panel(title, found)}</g>'
        for i, (title, found) in enumerate(panels)
    )
    width, height = 2 * _WIDTH, math.ceil(len(panels) / 2) * _HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f"{body}</svg>\n"
    )


def shows(row: Row) -> bool:
    """Return whether the drawing has a place for this row."""
    return any(row.case == case for case, _ in _PANELS)


def curves(rows: Sequence[Row], case: str) -> dict[str, Points]:
    """Return the curves of a case: ours, and those of its peers."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.case == case:
            for name, figure in (("ours", row.ours), (row.peer_name, row.peer)):
                point = (float(row.n), figure or 0.0)
                if figure and point not in found.setdefault(name, []):
                    found[name].append(point)
    return {name: points for name, points in found.items() if points}


def exponent(points: Points) -> float:
    """Return the slope between the first and the last point: growth is as n to this power."""
    (n0, y0), (n1, y1) = points[0], points[-1]
    return math.log(y1 / y0) / math.log(n1 / n0)


def _panel(title: str, found: Mapping[str, Points]) -> str:
    every = [point for points in found.values() for point in points]
    x = _Axis([n for n, _ in every], _MARGIN, _WIDTH - 20)
    y = _Axis([value for _, value in every], _HEIGHT - _MARGIN, 30, base=10)
    parts = [f'<text x="{_MARGIN}" y="20" font-size="14">{escape(title)}</text>']
    parts += [_grid(x.at(n), None, f"{n:g}") for n in sorted({n for n, _ in every})]
    parts += [_grid(None, y.at(value), f"{value:g}") for value in y.decades()]
    for i, (name, points) in enumerate(found.items()):
        parts.append(_curve(name, [(x.at(n), y.at(v)) for n, v in points], i))
    return "".join(parts)


class _Axis:
    """Places values between two pixels, by their logarithms."""

    def __init__(self, values: Sequence[float], start: float, end: float, base: int = 2) -> None:
        logs = [math.log(value, base) for value in values]
        self._base, self._start, self._end = base, start, end
        self._low = math.floor(min(logs)) if base == 10 else min(logs)
        self._high = max(math.ceil(max(logs)) if base == 10 else max(logs), self._low + 1)

    def at(self, value: float) -> float:
        part = (math.log(value, self._base) - self._low) / (self._high - self._low)
        return self._start + part * (self._end - self._start)

    def decades(self) -> list[float]:
        return [float(self._base) ** k for k in range(int(self._low), int(self._high) + 1)]


def _grid(x: float | None, y: float | None, label: str) -> str:
    if x is not None:
        line = f'x1="{x:.1f}" x2="{x:.1f}" y1="30" y2="{_HEIGHT - _MARGIN}"'
        place = f'x="{x:.1f}" y="{_HEIGHT - _MARGIN + 16}" text-anchor="middle"'
    else:
        line = f'x1="{_MARGIN}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}"'
        place = f'x="{_MARGIN - 6}" y="{y:.1f}" text-anchor="end"'
    return f'<line {line} stroke="#ddd"/><text {place} fill="#555">{label}</text>'


def _curve(name: str, places: Points, i: int) -> str:
    colour = _COLOURS[i % len(_COLOURS)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'
        f'<text x="{_MARGIN + 10}" y="{46 + 14 * i}" fill="{colour}">{escape(name)}</text>'
    )
