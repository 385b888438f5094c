"""Where a worker runs, in the word that the job asks for: a label of its node.

A container learns of its own pod's labels alone. Kubernetes (1.35) copies zone and region from the
node to the pod when it is placed; any other label is copied here. That is in time: the container
starts after the one that brings the rendezvous client. If not, the worker's place is unknown, and
it gets a rank like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from elasticjob_operator.observed import Observed
from elasticjob_operator.pod_facts import WorkerPod


def unlabelled(observed: Observed) -> Iterator[tuple[WorkerPod, str]]:
    """Yield the pods that do not say yet where they run, and what they should say."""
    for pod in observed.pods:
        node = observed.nodes.get(pod.node)
        if node is None or not pod.alive or not pod.topology_key or pod.topology:
            continue
        if place := node.labels.get(pod.topology_key):
            yield pod, place


def leavers(pods: Sequence[WorkerPod], count: int, staying: str) -> list[WorkerPod]:
    """Return so many of the pods, such that those who stay run close together.

    Whole groups go, the largest that fit, so that others stay whole; what is left to go is taken
    from the smallest group.

    Args:
        pods: Those who may go, the first to go first.
        count: How many are to go.
        staying: The pod whose group goes last.
    """
    groups: dict[str, list[WorkerPod]] = {}
    for pod in pods:
        groups.setdefault(pod.topology or pod.node, []).append(pod)
    last = [group for group in groups.values() if any(pod.name == staying for pod in group)]
    others = [group for group in groups.values() if group not in last]
    going: list[WorkerPod] = []
    for group in sorted(others, key=len, reverse=True):
        if len(going) + len(group) <= count:
            going += group
    rest = [pod for group in (*sorted(others, key=len), *last) for pod in _without(group, going)]
    return [*going, *rest][:count]


def _without(group: Iterable[WorkerPod], going: Sequence[WorkerPod]) -> list[WorkerPod]:
    return [pod for pod in group if pod not in going]
