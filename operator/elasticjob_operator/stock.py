"""Taking stock: the books of a job brought up to date with what is seen, before any decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from elasticjob_operator import api, book, history, last_words, tally
from elasticjob_operator.last_words import LastWords
from elasticjob_operator.observed import FormedRound, Observed
from elasticjob_operator.policies import Facts, avoidance, failures, over, suspension
from elasticjob_operator.timestamps import stamp


@dataclass(frozen=True)
class _Failed:
    """A round that was formed because training failed, with what is known of why."""

    formed: FormedRound
    pod: str
    message: str
    said: LastWords
    verdict: failures.Verdict | None

    @property
    def ignored(self) -> bool:
        return self.verdict is not None and self.verdict.rule.action == "Ignore"


def take(observed: Observed) -> Facts:
    """Bring the books up to date: rounds, ended pods, restarts, the last failure."""
    attempts, all_ended = book.settle(observed)
    # A job that is over, suspended or scaled in takes down its pods itself: nothing is lost.
    counts = not (over.was_over(Facts(observed)) or suspension.is_wanted(observed))
    ended = tuple(_judged(observed, entry) for entry in all_ended if entry.wanted and counts)
    failed = list(_failed_rounds(observed)) if counts else []
    counted = [one for one in failed if not one.ignored]
    ignored = [one.formed for one in failed if one.ignored]
    return Facts(
        observed=observed,
        rendezvous=history.record(observed),
        attempts=attempts,
        restarts=tally.restarts(observed, ended, [one.formed for one in counted], ignored),
        last_failure=_last_failure(observed, ended, counted),
        node_failures=avoidance.record(observed, ended),
        ended=ended,
        formed=tuple(history.unrecorded(observed)),
        verdict="; ".join([*_verdicts(observed, ended, failed)][:1]),
    )


# --- the failure policy ------------------------------------------------------------------------


def _judged(observed: Observed, entry: book.Ended) -> book.Ended:
    return replace(entry, ending=failures.judge(observed.spec, entry.pod, entry.ending))


def _failed_rounds(observed: Observed) -> Iterator[_Failed]:
    failed = history.failed_rounds(observed)
    for formed in failed:
        # Only the last one's words are there: logs go on.
        said = observed.last_words if formed is failed[-1] else {}
        restarted = history.restarted(formed) or [""]
        words = {pod: said.get(pod, LastWords()) for pod in restarted}
        verdict = failures.of_workers(observed.spec, words, _reason(formed))
        pod = verdict.pod if verdict else _cause(words)
        message = ": ".join((formed.record.reason, *filter(None, [words[pod].line])))
        yield _Failed(formed, pod, message, words[pod], verdict)


def _reason(formed: FormedRound) -> str:
    return "TrainingStalled" if history.is_stalled(formed) else "WorkerFailed"


def _cause(words: Mapping[str, LastWords]) -> str:
    """Return the pod that is most likely to blame: its peers only say that they lost it."""
    said = [pod for pod, its in words.items() if its.line]
    first_hand = [pod for pod in said if not words[pod].echoes]
    return [*first_hand, *said, *words][0]


def _verdicts(
    observed: Observed, ended: Sequence[book.Ended], failed: Sequence[_Failed]
) -> Iterator[str]:
    """Yield why the job is to fail at once, in sentences."""
    for entry in ended:
        verdict = failures.of_pod(observed.spec, entry.pod, entry.ending)
        if verdict and verdict.rule.action == "FailJob":
            yield f"pod {entry.name} {entry.ending.message}; {verdict.words}"
    for one in failed:
        if one.verdict and one.verdict.rule.action == "FailJob":
            yield f"{one.message}; {one.verdict.words}"


# --- the last failure --------------------------------------------------------------------------


def _last_failure(
    observed: Observed, ended: Sequence[book.Ended], failed: Sequence[_Failed]
) -> api.Failure | None:
    at = stamp(observed.now)
    own = [entry for entry in ended if entry.ending.account == "own"]
    if own:
        last = own[-1]
        said = last_words.read(last.pod.training.message) if last.pod else LastWords()
        return api.Failure(
            pod=last.name,
            rank=_rank(observed, last.name),
            worker_rank=said.rank,
            local_rank=said.local_rank,
            traceback=said.traceback,
            exit_code=last.ending.exit_code,
            reason=last.ending.reason,
            message=f"pod {last.name} {last.ending.message}",
            at=at,
        )
    if failed:
        return _worker_failure(observed, failed[-1], at)
    return observed.status.last_failure


def _worker_failure(observed: Observed, failed: _Failed, at: str) -> api.Failure:
    """A worker failed in a pod that lived on, and its agent started it again."""
    return api.Failure(
        pod=failed.pod,
        rank=_rank(observed, failed.pod),
        worker_rank=failed.said.rank,
        local_rank=failed.said.local_rank,
        traceback=failed.said.traceback,
        exit_code=failed.said.exit_code,
        reason="OOMKilled" if failed.said.lacked_memory else _reason(failed.formed),
        message=failed.message,
        at=at,
    )


def _rank(observed: Observed, pod: str) -> int | None:
    return history.last_ranks(observed.store, observed.status.rendezvous).get(pod)
