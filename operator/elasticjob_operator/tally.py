"""Counting failures: in total, within the budget's window, and in rounds without progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from elasticjob_operator import api, book
from elasticjob_operator.observed import FormedRound, Observed
from elasticjob_operator.timestamps import instant, stamp


def restarts(
    observed: Observed,
    ended: Sequence[book.Ended],
    failed: Sequence[FormedRound],
    ignored: Sequence[FormedRound] = (),
) -> api.Restarts:
    """Return ``status.restarts`` with all that is new.

    Args:
        observed: What is seen, with the status as it was.
        ended: Pods whose end is counted now, on the account on which it is put.
        failed: New rounds that were formed because training failed, and count.
        ignored: The same, which do not.
    """
    before = observed.status.restarts
    accounts = [entry.ending.account for entry in ended]
    worker = before.worker + len(failed)
    pod = before.pod + accounts.count("own")
    without_progress, last_failed = _progress(observed, ended, failed)
    return api.Restarts(
        worker=worker,
        pod=pod,
        infrastructure=before.infrastructure + accounts.count("infrastructure"),
        ignored=before.ignored + accounts.count("ignored") + len(ignored),
        counted=worker + pod,
        recent=_recent(observed, ended, failed),
        rounds_without_progress=without_progress,
        last_failed_round=last_failed,
    )


# --- the budget's window -----------------------------------------------------------------------


def _recent(
    observed: Observed, ended: Sequence[book.Ended], failed: Sequence[FormedRound]
) -> tuple[str, ...]:
    """Return when the last failures happened; those that are too old to matter are left out."""
    before, budget = observed.status.restarts.recent, observed.spec.failure_policy.budget
    if budget is None:
        return ()
    news = [_ended_at(entry, observed.now) for entry in ended if entry.ending.account == "own"]
    # Nobody knows when a round was formed that was found out later.
    news += [formed.at for formed in failed if not formed.late]
    if not news:
        return before
    times = sorted([*(at for text in before if (at := instant(text))), *news])
    since = times[-1] - timedelta(seconds=budget.window_seconds)
    kept = [at for at in times if at >= since][-budget.max_restarts_per_window - 1 :]
    return tuple(stamp(at, "milliseconds") for at in kept)


# --- progress ----------------------------------------------------------------------------------


def _progress(
    observed: Observed, ended: Sequence[book.Ended], failed: Sequence[FormedRound]
) -> tuple[int, int]:
    """Return how many rounds in a row failed before they had stood long enough, and the last."""
    before = observed.status.restarts
    count, last = before.rounds_without_progress, before.last_failed_round
    enough_s = observed.spec.failure_policy.progress_seconds
    for number, stood_s in sorted(_ends(observed, ended, failed)):
        if number > last:
            count = count + 1 if stood_s < enough_s else 0
            last = number
    return count, last


def _ends(
    observed: Observed, ended: Sequence[book.Ended], failed: Sequence[FormedRound]
) -> Iterator[tuple[int, float]]:
    """Yield the rounds that failures ended, and for how many seconds they had stood."""
    formed = _formed(observed)
    for entry in ended:
        at = _ended_at(entry, observed.now)
        # Kubelets tell whole seconds.
        earlier = [n for n, since in formed.items() if since and since <= at + timedelta(seconds=1)]
        if entry.ending.account == "own" and earlier:
            number = max(earlier)
            yield number, _between(formed[number], at)
    for round_ in failed:
        earlier = [number for number in formed if number < round_.record.number]
        if earlier and not round_.late and (since := formed[max(earlier)]):
            broken_at = round_.at - timedelta(seconds=round_.record.seconds)
            yield max(earlier), _between(since, broken_at)


def _formed(observed: Observed) -> dict[int, datetime | None]:
    """Return when each round was formed; None where it was found out later."""
    told = observed.status.rendezvous.history
    known = {record.round: instant(record.formed_at) for record in told}
    return known | {f.record.number: None if f.late else f.at for f in observed.store.formed}


def _between(since: datetime | None, at: datetime) -> float:
    return (at - since).total_seconds() if since else 0.0


def _ended_at(entry: book.Ended, now: datetime) -> datetime:
    return entry.at or now
