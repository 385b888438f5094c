"""Pods of the job's own store that are not made, or find no volume.

Their StatefulSet's controller makes them, says only in events of its own why it cannot, and waits
for longer and longer before it tries again. Why a volume is not to be had stands in the events of
the claim for it.
"""

from __future__ import annotations

from typing import Final

from elasticjob_operator.observed import Observed
from elasticjob_operator.policies import suspension
from elasticjob_operator.provisioning import etcd_pod, names, stateful_sets
from elasticjob_operator.store_facts import StorePod

OVERDUE_S: Final = 10.0
"""A controller that can make a pod has made it by then."""


def overdue(observed: Observed) -> tuple[str, ...]:
    """Return the pods without which the store does not answer, and which should be there."""
    started_at = suspension.started_at(observed)
    if observed.store.reachable or not names.has_own_store(observed.job) or started_at is None:
        return ()
    if (observed.now - started_at).total_seconds() < OVERDUE_S:
        return ()
    there = {pod.name for pod in observed.store_pods}
    return tuple(name for name in names.members(observed.job) if name not in there)


def volume_words(observed: Observed, pod: StorePod) -> str:
    """Return where it is told why this pod finds no node with its volume; empty if it does."""
    if observed.spec.rendezvous.etcd.storage is None or "volume" not in pod.unschedulable.lower():
        return ""
    claim = stateful_sets.claim_name(etcd_pod.VOLUME, pod.name)
    return f"; `kubectl describe pvc {claim}` tells what its volume lacks"
