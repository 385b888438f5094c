"""Which pods are lost with their node, so that nobody waits for a kubelet that will not answer.

A node that is gone, or that an administrator has put out of service, takes its pods with it at
once. One that is only not ready may come back, and what runs on it may train on: its pods are lost
when it has not been ready for a while and the store, which has been heard for as long, does not
hear their members either. When no node at all is ready, that is more likely the control plane's
trouble than that of all nodes, and nothing is given up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from elasticjob_operator import actions
from elasticjob_operator.node_facts import Node
from elasticjob_operator.observed import Observed

UNREADY_S: Final = 10.0
"""How long a node may be not ready. Kubernetes itself waits a while before it says so: 50 s."""


def marked(observed: Observed) -> Observed:
    """Return the snapshot with the pods marked that are lost with their node."""
    if not observed.nodes:
        return observed
    # Members need a moment to come back to a store that was away.
    listened = observed.store.reachable and _heard_s(observed) >= UNREADY_S
    heard = {member.uid for member in observed.store.members}
    pods = tuple(
        pod
        if pod.ended
        else replace(pod, lost=_lost(observed, pod.node, silent=listened and pod.uid not in heard))
        for pod in observed.pods
    )
    return replace(observed, pods=pods)


def removals(observed: Observed) -> Iterator[actions.DeletePod]:
    """Yield how the lost pods are removed.

    Without grace only where it is certain that nothing runs any more; the replacement has a name
    of its own, so it need not wait for the others.
    """
    for pod in observed.pods:
        off = pod.lost and _is_off(observed, pod.node)
        if pod.lost and (off or not pod.deleting):
            why = f"lost with node {pod.node}, {pod.lost}"
            yield actions.DeletePod(pod.name, pod.uid, why, at_once=bool(off))
    yield from _store_removal(observed)


def look_again_s(observed: Observed) -> float | None:
    """Return after how many seconds a node will have been not ready for too long."""
    used = {pod.node for pod in observed.pods if pod.alive}
    used |= {pod.node for pod in observed.store_pods}
    unready = [n for n in observed.nodes.values() if n.name in used and not n.ready]
    if not unready:
        return None
    if not observed.any_node_ready:
        return UNREADY_S  # nobody tells this job of another job's node
    since = (_heard_s(observed), *(_unready_s(observed, node) for node in unready))
    return min((UNREADY_S - s for s in since if s < UNREADY_S), default=None)


def _store_removal(observed: Observed) -> Iterator[actions.DeletePod]:
    """A store's pod has a successor of the same name, which comes only when the pod is gone.

    One that neither answers nor has a node that does is given up: it held nothing that the other
    members of the store, or the workers and the status, do not bring back.
    """
    alone = len(observed.store_pods) == 1
    for pod in observed.store_pods:
        silent = not (observed.store.reachable if alone else pod.ready)
        if silent and (why := _lost(observed, pod.node, silent=True)):
            why = f"the rendezvous store was lost with its node {pod.node}, {why}"
            yield actions.DeletePod(pod.name, pod.uid, why, at_once=True)


def _lost(observed: Observed, name: str, *, silent: bool) -> str:
    """Return what became of this node, if what ran on it is lost; else nothing."""
    node = observed.nodes.get(name)
    if node is None:
        return ""
    if node.absent:
        return "which is gone"
    if node.out_of_service:
        return "which is out of service"
    if not (silent and observed.any_node_ready) or _unready_s(observed, node) < UNREADY_S:
        return ""
    return f"which is not ready ({node.words})"


def _is_off(observed: Observed, name: str) -> bool:
    node = observed.nodes.get(name)
    return node is not None and node.off


def _heard_s(observed: Observed) -> float:
    """Return for how long the store has been heard."""
    since = observed.store.since
    return (observed.now - since).total_seconds() if since else UNREADY_S


def _unready_s(observed: Observed, node: Node) -> float:
    """Return for how long the node has not been ready; below 0 while it is."""
    if node.unready_since is None:
        return -1.0
    return max(0.0, (observed.now - node.unready_since).total_seconds())
