"""Jobs as a table, and what tables and ages look like everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from elasticjob_operator import api, conditions
from elasticjob_operator.timestamps import instant

COLUMNS: Final = ("NAME", "PHASE", "ROUND", "WORLD", "READY", "STEP", "RESTARTS", "AGE", "REASON")


def render(jobs: Iterable[api.ElasticJob], now: datetime, *, namespaces: bool) -> list[str]:
    """Return a line for each job, by namespace and name."""
    ordered = sorted(jobs, key=lambda job: (job.metadata.namespace, job.metadata.name))
    rows = [(job.metadata.namespace, *_row(job, now)) for job in ordered]
    whole = align([("NAMESPACE", *COLUMNS), *rows])
    return whole if namespaces else align([COLUMNS, *(row[1:] for row in rows)])


def _row(job: api.ElasticJob, now: datetime) -> tuple[str, ...]:
    status, rendezvous = job.status, job.status.rendezvous
    progressing = conditions.find(status.conditions, conditions.PROGRESSING)
    return (
        job.metadata.name,
        status.phase,
        str(rendezvous.round),
        "?" if rendezvous.world_size is None else str(rendezvous.world_size),
        status.ready_of_wanted,
        str(status.progress.step) if status.progress else "",
        str(status.restarts.counted),
        age(job.metadata.creation_timestamp, now),
        progressing.reason if progressing else "",
    )


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows with their cells below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def age(since: str | None, now: datetime) -> str:
    """Return how long ago that was, with its one or two leading units."""
    then = instant(since)
    if then is None:
        return ""
    seconds = max(0, int((now - then).total_seconds()))
    for unit_s, unit, part_s, part in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m")):
        if seconds >= unit_s:
            rest = seconds % unit_s // part_s
            return f"{seconds // unit_s}{unit}{f'{rest}{part}' if rest else ''}"
    return f"{seconds // 60}m" if seconds >= 120 else f"{seconds}s"
