"""Which pods go when a job is scaled in, and how each of them goes.

Whoever does not train goes first: pods without a node, then pods that start, then those that wait
beside the round; but for as many as there must be spares, while the round has too many members. Of
the members of the round, those on the node with the most of the job's workers go first, so that
the rest stays spread, the newest before the older; rank 0 goes last. In a job with a topologyKey
the rest stays close together instead: whole groups go.

A pod whose training runs is drained: it is asked, through the store, to leave. The others form a
round without it, once for all that are asked, and it ends with success. Then its pod is deleted,
or when its member does not leave in time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from elasticjob_operator import history
from elasticjob_operator.observed import Observed
from elasticjob_operator.pod_facts import WorkerPod
from elasticjob_operator.policies import Facts, size, topology

MEMBER: Final = 1
"""The stage of a member of the round; all who are needed less stand higher."""
GRACE_S: Final = 30
LEAVE_S: Final = 30
"""How long torchrun may take to stop its workers before it leaves; it is torchrun's own limit."""


def choose(facts: Facts, pods: Sequence[WorkerPod]) -> list[WorkerPod]:
    """Return which of these pods, which have not ended, are to go."""
    spec = facts.observed.spec
    members = history.last_members(facts.observed.store, facts.rendezvous)
    rank0 = next((member.pod for member in facts.rendezvous.members if member.rank == 0), "")
    oldest_first = sorted(pods, key=lambda pod: (pod.name != rank0, pod.created_at, pod.index))
    on_node, order = Counter[str](), {}
    for pod in oldest_first:
        # The n-th of its node: the node with the most workers has the highest n.
        nth = on_node[pod.node] if pod.running else 0
        on_node[pod.node] += pod.running
        order[pod.name] = (_stage(pod, members, rank0), nth, pod.created_at, pod.index)
    first_to_go = sorted(oldest_first, key=lambda pod: order[pod.name], reverse=True)
    idle = [pod for pod in first_to_go if _stage(pod, members, rank0) > MEMBER]
    busy = [pod for pod in first_to_go if pod not in idle]
    leaving = size.excess(spec, len(busy))
    count = max(leaving, len(pods) - size.pods(spec))
    leaving = max(leaving, count - len(idle))
    if spec.topology_key is None:
        going = busy[:leaving]
    else:
        going = topology.leavers(facts.observed, busy, leaving, rank0)
    return [*idle[: count - leaving], *going]


def _stage(pod: WorkerPod, members: Collection[str], rank0: str) -> int:
    if not pod.running:
        return 4 if pod.unschedulable or pod.trouble else 3
    if pod.name not in members:
        return 2
    return 0 if pod.name == rank0 else MEMBER


def leaves_s(pod: WorkerPod, observed: Observed) -> float:
    """Return how long this pod, which is asked to leave, may still take to do so."""
    store = observed.store
    if pod.ended or (store.reachable and pod.uid not in {member.uid for member in store.members}):
        return 0.0
    return max(0.0, (_due(observed, store.drains[pod.uid].since) - observed.now).total_seconds())


def _due(observed: Observed, since: datetime) -> datetime:
    spec: dict[str, Any] = observed.spec.template["spec"]
    return since + timedelta(seconds=spec.get("terminationGracePeriodSeconds", GRACE_S) + LEAVE_S)
