"""Which of the pods that failed are kept for their logs."""

from __future__ import annotations

from collections.abc import Container, Iterator

from elasticjob_operator.observed import Observed
from elasticjob_operator.pod_facts import WorkerPod, by_age

NEWER = "a newer failed pod of this index is kept"


def surplus(observed: Observed, needed: Container[str]) -> Iterator[tuple[WorkerPod, str]]:
    """Yield the failed pods that are too many, and why.

    Of each index the newest is kept, and of all indices the newest ``failedPodsHistoryLimit``.

    Args:
        observed: What is seen.
        needed: The names of those that must stay, because something is still read off them.
    """
    limit = observed.spec.run_policy.failed_pods_history_limit
    kept: dict[int, WorkerPod] = {}
    for pod in by_age(observed.pods):
        if not pod.failed or pod.deleting or not _is_counted(observed, pod):
            continue
        if older := kept.get(pod.index):
            yield older, NEWER
        kept[pod.index] = pod
    removable = [pod for pod in kept.values() if pod.name not in needed]
    newest_first = sorted(removable, key=lambda pod: pod.ended_at, reverse=True)
    words = f"runPolicy.failedPodsHistoryLimit keeps {limit}"
    for pod in newest_first[limit:]:
        yield pod, f"{words} failed pod{'' if limit == 1 else 's'}, the newest"


def _is_counted(observed: Observed, pod: WorkerPod) -> bool:
    """Return whether the status knows how it ended: else that would be lost with the pod."""
    ended = observed.status.attempts.ended
    return pod.index < len(ended) and ended[pod.index] > pod.attempt
