"""Which nodes new pods are kept off, because pods of this job failed there again and again.

Every failure of a pod counts, its own and the infrastructure's, with two exceptions: what people or
the scheduler took away, which says nothing about the node; and what a rule ignores. Failures in the
same second are one: a node that goes takes all its pods along.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from elasticjob_operator import api, book
from elasticjob_operator.failure_policy import MAX_NODES
from elasticjob_operator.observed import Observed
from elasticjob_operator.pod_facts import WorkerPod
from elasticjob_operator.timestamps import instant, stamp
from rdzv_client import wording

_TAKEN: Final = frozenset({"PreemptionByScheduler", "EvictionByEvictionAPI"})

Failures = tuple[api.NodeFailures, ...]


def record(observed: Observed, ended: Iterable[book.Ended]) -> Failures:
    """Return ``status.nodeFailures`` with these ends, without what is too old to matter."""
    policy = observed.spec.failure_policy.avoid_nodes
    if policy is None:
        return ()
    times: dict[str, set[datetime]] = defaultdict(set)
    for told in observed.status.node_failures:
        times[told.node] = {at for text in told.at if (at := instant(text))}
    for entry in ended:
        if entry.pod and _is_nodes(entry, entry.pod):
            at = min(entry.at or observed.now, observed.now)
            times[entry.pod.node].add(at.replace(microsecond=0))
    since = observed.now - timedelta(seconds=policy.window_seconds)
    recent = {node: sorted(at for at in its if at > since) for node, its in times.items()}
    newest_last = sorted((its[-1], node) for node, its in recent.items() if its)
    return tuple(
        api.NodeFailures(node=node, at=tuple(map(stamp, recent[node][-policy.failures :])))
        for _, node in newest_last[-MAX_NODES:]
    )


def nodes(spec: api.ElasticJobSpec, failures: Failures) -> list[str]:
    """Return the nodes that new pods are kept off."""
    policy = spec.failure_policy.avoid_nodes
    if policy is None:
        return []
    return [told.node for told in failures if len(told.at) >= policy.failures]


def look_again_s(observed: Observed, failures: Failures) -> float | None:
    """Return when the next node is avoided no more; None if none is."""
    policy, avoided = observed.spec.failure_policy.avoid_nodes, nodes(observed.spec, failures)
    if policy is None:
        return None
    oldest = [instant(told.at[0]) for told in failures if told.node in avoided]
    ages_s = [(observed.now - at).total_seconds() for at in oldest if at]
    return min((policy.window_seconds - age_s for age_s in ages_s), default=None)


def words(spec: api.ElasticJobSpec, failures: Failures) -> str:
    """Say which nodes are avoided and why; nothing if none is."""
    policy, avoided = spec.failure_policy.avoid_nodes, nodes(spec, failures)
    if policy is None or not avoided:
        return ""
    often = "once" if policy.failures == 1 else f"{policy.failures} times"
    kept = "are kept off" if policy.mode == "Required" else "go elsewhere than to"
    where = wording.some(avoided)
    return f"new pods {kept} {where}: pods failed there {often} within {policy.window_seconds} s"


def keep_off(pod: dict[str, Any], spec: api.ElasticJobSpec, failures: Failures) -> None:
    """Have the scheduler place this pod elsewhere, beside what the template says of nodes."""
    policy, avoided = spec.failure_policy.avoid_nodes, nodes(spec, failures)
    if policy is None or not avoided:
        return
    elsewhere = [_is_not(node) for node in avoided]
    affinity = pod["spec"]["affinity"] = dict(pod["spec"].get("affinity") or {})
    of_nodes = affinity["nodeAffinity"] = dict(affinity.get("nodeAffinity") or {})
    if policy.mode == "Preferred":
        key = "preferredDuringSchedulingIgnoredDuringExecution"
        wish = {"weight": 100, "preference": {"matchFields": elsewhere}}
        of_nodes[key] = [*(of_nodes.get(key) or ()), wish]
        return
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = (of_nodes.get(key) or {}).get("nodeSelectorTerms") or [{"matchFields": []}]
    of_nodes[key] = {"nodeSelectorTerms": [_with(term, elsewhere) for term in terms]}


def _is_not(node: str) -> dict[str, Any]:
    return {"key": "metadata.name", "operator": "NotIn", "values": [node]}


def _with(term: dict[str, Any], fields: list[dict[str, Any]]) -> dict[str, Any]:
    """Terms are alternatives, so each must say it; an empty one holds nowhere, and stays so."""
    if not term:
        return term
    return {**term, "matchFields": [*(term.get("matchFields") or ()), *fields]}


def _is_nodes(entry: book.Ended, pod: WorkerPod) -> bool:
    """Whether this end may have to do with the node."""
    if entry.ending.account not in {"own", "infrastructure"} or not pod.node:
        return False
    taken = {
        c.reason for c in pod.conditions if c.type == "DisruptionTarget" and c.status == "True"
    }
    return entry.ending.reason != "PodDeleted" and not taken & _TAKEN
