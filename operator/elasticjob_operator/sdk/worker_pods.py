"""Which pod has a rank, and which had its place before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from elasticjob_operator import api, labels
from elasticjob_operator.answers import ClusterError


class NoSuchPod(ClusterError):
    """No pod is there of which this could be said; the text says why."""


def of_rank(job: api.ElasticJob, rank: int) -> str:
    """Return the pod that has this rank in the job's last round.

    Raises:
        NoSuchPod: none has it, or the status does not list it.
    """
    told = job.status.rendezvous
    for member in told.members:
        if member.rank == rank:
            return member.pod
    name = job.metadata.name
    if not told.round:
        raise NoSuchPod(f"{name} has formed no round yet, so nobody has rank {rank}")
    if 0 <= rank < told.workers:
        raise NoSuchPod(
            f"the status of {name} lists the ranks 0 to {len(told.members) - 1} of"
            f" {told.workers}, and not {rank}"
        )
    raise NoSuchPod(
        f"round {told.round} of {name} has the ranks 0 to {told.workers - 1}, and not {rank}"
    )


def before(pod: str, pods: Iterable[Mapping[str, Any]]) -> str:
    """Return the newest of the earlier pods that had the place of this one.

    Args:
        pod: A worker's pod; it need not be there any more.
        pods: Name and labels of the job's worker pods.

    Raises:
        NoSuchPod: none of them is kept.
    """
    place, attempt = _place(pod)
    earlier = {
        _place(other["name"])[1]: other["name"]
        for other in pods
        if other["labels"].get(labels.INDEX) == place and _place(other["name"])[1] < attempt
    }
    if not earlier:
        raise NoSuchPod(f"no pod is kept that was there before {pod}")
    return str(earlier[max(earlier)])


def _place(pod: str) -> tuple[str, int]:
    """Return index and attempt, which are the end of the pod's name."""
    _, index, attempt = pod.rsplit("-", 2)
    return index, int(attempt)
