"""Taking stock: the books of a job brought up to date with what is seen, before any decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized

from elasticjob_operator import api, book, history
from elasticjob_operator.observed import FormedRound, Observed
from elasticjob_operator.policies import Facts, over, suspension
from elasticjob_operator.timestamps import stamp


def take(observed: Observed) -> Facts:
    """Bring the books up to date: rounds, ended pods, restarts, the last failure."""
    attempts, all_ended = book.settle(observed)
    # A job that is over, suspended or scaled in takes down its pods itself: nothing is lost.
    counts = not (over.was_over(Facts(observed)) or suspension.is_wanted(observed))
    ended = tuple(entry for entry in all_ended if entry.wanted and counts)
    failed_rounds = tuple(history.failed_rounds(observed)) if counts else ()
    return Facts(
        observed=observed,
        rendezvous=history.record(observed),
        attempts=attempts,
        restarts=_restarts(observed.status.restarts, ended, failed_rounds),
        last_failure=_last_failure(observed, ended, failed_rounds),
        ended=ended,
        formed=tuple(history.unrecorded(observed)),
    )


def _restarts(
    before: api.Restarts, ended: Iterable[book.Ended], failed_rounds: Sized
) -> api.Restarts:
    accounts = [entry.ending.account for entry in ended]
    worker = before.worker + len(failed_rounds)
    pod = before.pod + accounts.count("own")
    return api.Restarts(
        worker=worker,
        pod=pod,
        infrastructure=before.infrastructure + accounts.count("infrastructure"),
        counted=worker + pod,
    )


def _last_failure(
    observed: Observed, ended: Iterable[book.Ended], failed_rounds: Sequence[FormedRound]
) -> api.Failure | None:
    at = stamp(observed.now)
    own = [entry for entry in ended if entry.ending.account == "own"]
    if own:
        last = own[-1]
        return api.Failure(
            pod=last.name,
            rank=_rank(observed, last.name),
            exit_code=last.ending.exit_code,
            reason=last.ending.reason,
            message=f"pod {last.name} {last.ending.message}",
            at=at,
        )
    if failed_rounds:
        return _worker_failure(observed, failed_rounds[-1], at)
    return observed.status.last_failure


def _worker_failure(observed: Observed, formed: FormedRound, at: str) -> api.Failure:
    """A worker failed in a pod that lived on, and its agent started it again."""
    reason, restarted = formed.record.reason, history.restarted(formed)
    said = [words for pod in restarted if (words := observed.last_words.get(pod))]
    pod = restarted[0] if restarted else ""
    return api.Failure(
        pod=pod,
        rank=_rank(observed, pod),
        reason="WorkerFailed",
        message=": ".join((reason, *said[:1])),
        at=at,
    )


def _rank(observed: Observed, pod: str) -> int | None:
    members = observed.status.rendezvous.members
    return next((member.rank for member in members if member.pod == pod), None)
