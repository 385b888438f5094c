"""Pods that have a node and do not start: a volume that is not there, an image that takes long.

Kubernetes tells why in the events of the pod alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from elasticjob_operator.observed import Observed
from elasticjob_operator.pod_facts import WorkerPod
from elasticjob_operator.store_facts import StorePod

SLOW_S: Final = 90.0


def words(observed: Observed) -> str:
    """Return a sentence about the workers that take long to start; empty if none does."""
    return _words([pod for pod in _starting(observed) if _left_s(pod, observed) <= 0])


def store_words(observed: Observed) -> str:
    """Return the same about the pods of the job's own store, which is looked at again anyway."""
    pods = (pod for pod in observed.store_pods if pod.node and not (pod.started or pod.deleting))
    return _words([pod for pod in pods if pod.trouble is None and _left_s(pod, observed) <= 0])


def _words(slow: Sequence[WorkerPod | StorePod]) -> str:
    if not slow:
        return ""
    pod = slow[0].name
    which = f"pod {pod} does" if len(slow) == 1 else f"{len(slow)} pods, among them {pod}, do"
    return f"{which} not run after {SLOW_S:.0f} s: `kubectl describe pod {pod}` tells why"


def look_again_s(observed: Observed) -> float | None:
    """Return when the next worker will have taken long, None if none will."""
    left = [_left_s(pod, observed) for pod in _starting(observed)]
    return min((left_s for left_s in left if left_s > 0), default=None)


def _starting(observed: Observed) -> list[WorkerPod]:
    pods = (pod for pod in observed.pods if pod.alive and pod.placed)
    return [pod for pod in pods if not pod.running and pod.trouble is None]


def _left_s(pod: WorkerPod | StorePod, observed: Observed) -> float:
    due = pod.created_at + timedelta(seconds=SLOW_S)
    return (due - observed.now).total_seconds()
