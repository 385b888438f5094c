"""The results as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.comparison import Row

_HEAD = ("case", "n", "ours", "peer", "unit", "ratio", "peer's name", "note")


def of(rows: Iterable[Row]) -> str:
    """Return the table: medians, with the least and the most of the runs in brackets."""
    lines = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
    return (
        row.case,
        str(row.n),
        _figure(row.ours, row.all_ours),
        _figure(row.peer, row.all_peer),
        row.unit,
        ratio,
        row.peer_name,
        row.note,
    )


def _figure(median: float | None, figures: Sequence[float]) -> str:
    if median is None:
        return "-"
    return f"{number(median)} [{number(min(figures))}..{number(max(figures))}]"


def number(value: float) -> str:
    """Three digits that count, without an exponent."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
