"""Where workers run, in the word that the job asks for: a label of their nodes.

A container sees its node's name, and the labels of its own pod. Kubernetes (1.35) copies zone and
region from the node to the pod when it places it. Of any other label the workers are told through
their store, node by node, as soon as one of them is placed there; who leads reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from elasticjob_operator import labels
from elasticjob_operator.observed import Observed
from elasticjob_operator.pod_facts import WorkerPod
from rdzv_client import wire


def are_told(observed: Observed) -> bool:
    """Return whether the job asks for a label that the workers are told of."""
    return observed.sees_nodes and observed.spec.topology_key not in {None, labels.HOSTNAME}


def untold(observed: Observed) -> tuple[wire.Site, ...]:
    """Return where nodes of theirs stand that they do not know yet, or that they stand nowhere."""
    if not are_told(observed):
        return ()
    nodes = {pod.node for pod in observed.pods if pod.alive and not pod.topology}
    known = (observed.nodes[node] for node in sorted(nodes & observed.nodes.keys()))
    key = observed.spec.topology_key or ""
    sites = (wire.Site(node.name, node.labels.get(key, "")) for node in known if not node.absent)
    return tuple(site for site in sites if observed.store.sites.get(site.node) != site.topology)


def site(observed: Observed, pod: WorkerPod) -> str:
    """Return where the pod runs; empty when that is not known."""
    node = observed.nodes.get(pod.node)
    return pod.topology or (node.labels.get(pod.topology_key, "") if node else "")


def leavers(
    observed: Observed, pods: Sequence[WorkerPod], count: int, staying: str
) -> list[WorkerPod]:
    """Return so many of the pods, such that those who stay run close together.

    Whole groups go, the largest that fit, so that others stay whole; what is left to go is taken
    from the smallest group.

    Args:
        observed: Where they run.
        pods: Those who may go, the first to go first.
        count: How many are to go.
        staying: The pod whose group goes last.
    """
    groups: dict[str, list[WorkerPod]] = {}
    for pod in pods:
        groups.setdefault(site(observed, pod) or pod.node, []).append(pod)
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
