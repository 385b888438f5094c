"""A store of several members: one that lost its disk is let in again as another.

etcd remembers its members. One that comes back without its data is refused by the others, and
tells so with its last words. While most of them are there, its place is given to a new member, and
its pod made anew. Where most have lost their disks, nobody can be let in: the store is made anew,
and filled by the workers and from the status.
"""

from __future__ import annotations

from collections.abc import Iterator

from elasticjob_operator import actions, store_members
from elasticjob_operator.observed import Observed
from elasticjob_operator.provisioning import addresses, names
from elasticjob_operator.store_facts import StorePod


def answers(observed: Observed) -> bool:
    """Return whether most of the members do.

    A watch at one of them says nothing: it stays open in silence when the others are gone.
    """
    ready = sum(pod.ready for pod in observed.store_pods)
    return observed.store.reachable and ready > len(names.members(observed.job)) // 2


def is_lost(observed: Observed) -> bool:
    """Return whether so many disks are lost that the store cannot come back by itself."""
    if answers(observed) or not _refused(observed):
        return False
    wanted = len(names.members(observed.job))
    return _disks(observed) <= wanted // 2


def is_joined(observed: Observed) -> bool:
    """Return whether a member is to join those that are there."""
    unstarted = not all(member.started for member in observed.store_members)
    return answers(observed) and (unstarted or bool(_refused(observed)))


def repairs(observed: Observed) -> Iterator[actions.Action]:
    """Yield how one member that was refused is let in: one at a time, as etcd itself demands."""
    if not answers(observed):
        return
    for pod in _refused(observed)[:1]:
        peer_url = addresses.peer_url(observed.job, pod.name)
        yield actions.ReadmitMember(pod.name, pod.uid, peer_url)
        why = "it lost its data, and comes back as a new member of the rendezvous store"
        yield actions.DeletePod(pod.name, pod.uid, why)


def words(name: str, pod: StorePod | None) -> str:
    """Return why this member does not answer, empty if it does."""
    if pod is None:
        return f"{name} has no pod"
    if pod.ready:
        return ""
    if pod.refusal:
        return f"{name} lost its data ({pod.refusal})"
    if pod.trouble:
        return f"{name} cannot start: {pod.trouble.reason}"
    if pod.unschedulable:
        return f"{name} finds no node: {pod.unschedulable}"
    return f"{name} is not ready"


def _refused(observed: Observed) -> list[StorePod]:
    if len(names.members(observed.job)) == 1:
        return []
    pods = [pod for pod in observed.store_pods if not pod.deleting]
    return [pod for pod in pods if pod.refusal or (pod.ended and _is_removed(observed, pod))]


def _is_removed(observed: Observed, pod: StorePod) -> bool:
    """Return whether the place of a pod that came before is given to another already."""
    place = store_members.at(addresses.peer_url(observed.job, pod.name), observed.store_members)
    return bool(observed.store_members) and (place is None or not place.started)


def _disks(observed: Observed) -> int:
    """Return how many members may still have their data."""
    wanted = len(names.members(observed.job))
    pods = observed.store_pods
    if observed.spec.rendezvous.etcd.storage:
        return wanted - sum(bool(pod.refusal) for pod in pods)
    return sum(pod.started and not pod.refusal for pod in pods)
