"""One job on a page: how it is and why, who has which rank, and what failed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import Final

from elasticjob_operator import api
from elasticjob_operator.cli.listing import age, align
from elasticjob_operator.progress import Progress

TEXT_COLUMNS: Final = 96
INDENT: Final = "  "
TRACEBACK_LINES: Final = 15


def render(job: api.ElasticJob, now: datetime) -> list[str]:
    """Return the page."""
    return [
        _headline(job, now),
        "",
        *align([*_facts(job, now)]),
        *_conditions(job.status.conditions, now),
        *_members(job.status.rendezvous),
        *_last_failure(job.status.last_failure, now),
    ]


def _headline(job: api.ElasticJob, now: datetime) -> str:
    status = job.status
    where = f"{job.metadata.name} in namespace {job.metadata.namespace}"
    is_so = f"{status.phase}, {status.ready_of_wanted} workers in the round"
    return f"{where}: {is_so}, {age(job.metadata.creation_timestamp, now)} old"


def _facts(job: api.ElasticJob, now: datetime) -> Iterator[tuple[str, str]]:
    spec, status, told = job.spec, job.status, job.status.rendezvous
    steps = f", in steps of {spec.replica_step}" if spec.replica_step > 1 else ""
    bounds = f"{spec.min_replicas} at least, {spec.max_replicas} at most{steps}"
    yield "workers", f"{spec.replicas} wanted, {bounds}"
    if spec.spare_replicas:
        yield "spares", f"{status.spares} of {spec.spare_replicas}"
    if status.autoscaler:
        yield "autoscaler", status.autoscaler
    if told.round:
        world = "" if told.world_size is None else f", world size {told.world_size}"
        waiting = f", {told.waiting} waiting" if told.waiting else ""
        yield "round", f"{told.round} ({told.state}), {told.workers} workers{world}{waiting}"
    if status.progress:
        yield "progress", _progress(status.progress, now)
        for one in status.progress.stragglers:
            where = f"{one.pod} (rank {one.rank}) on {one.node}"
            yield "straggler", f"{where} takes {one.step_seconds:.3g} s for a step"
    if told.endpoint:
        yield "store", told.endpoint
    counts = status.restarts
    counted = f"{counts.counted} of {spec.max_restarts} (worker {counts.worker}, pod {counts.pod})"
    free = f"infrastructure {counts.infrastructure}, ignored {counts.ignored}"
    yield "restarts", f"{counted}; not counted: {free}"
    if status.start_time:
        yield "started", f"{age(status.start_time, now)} ago"
    if status.completion_time:
        yield "over", f"{age(status.completion_time, now)} ago"


def _progress(told: Progress, now: datetime) -> str:
    epoch = "" if told.epoch is None else f" (epoch {told.epoch:g})"
    pace = "" if told.steps_per_second is None else f", {told.steps_per_second:.3g} steps/s"
    each = "" if told.step_seconds is None else f", {told.step_seconds:.3g} s each"
    metrics = "".join(f", {name} {value}" for name, value in told.metrics.items())
    who = f"{told.pod} (rank {told.rank}) said so {age(told.reported_at, now)} ago"
    return f"step {told.step}{epoch}{pace}{each}{metrics}; {who}"


def _conditions(told: tuple[api.Condition, ...], now: datetime) -> Iterator[str]:
    if not told:
        yield from ("", "no operator has looked at it yet")
        return
    rows = [(c.type, c.status, age(c.last_transition_time, now), c.reason) for c in told]
    yield ""
    header, *lines = align([("condition", "status", "since", "reason"), *rows])
    yield header
    for message, alike in groupby(zip(lines, told, strict=True), lambda one: one[1].message):
        yield from (line for line, _ in alike)
        yield from _wrapped(message)


def _members(told: api.RendezvousStatus) -> Iterator[str]:
    if not told.members:
        return
    rows = [(str(member.rank), member.pod, member.node) for member in told.members]
    yield ""
    yield from align([("rank", "pod", "node"), *rows])
    if len(told.members) < told.workers:
        yield f"... and {told.workers - len(told.members)} more"


def _last_failure(failure: api.Failure | None, now: datetime) -> Iterator[str]:
    if failure is None:
        return
    where = failure.pod or "the job"
    where += "" if failure.rank is None else f" (rank {failure.rank})"
    process = "" if failure.worker_rank is None else f", process {failure.worker_rank}"
    code = "" if failure.exit_code is None else f", exit code {failure.exit_code}"
    yield ""
    yield f"last failure: {where}{process}{code}, {failure.reason}, {age(failure.at, now)} ago"
    yield from _wrapped(failure.message)
    for line in failure.traceback.splitlines()[-TRACEBACK_LINES:]:
        yield f"{INDENT}| {line}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, TEXT_COLUMNS, initial_indent=INDENT, subsequent_indent=INDENT, break_long_words=False
    )
