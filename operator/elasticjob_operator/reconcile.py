"""One job, looked after once: observe, plan, apply, report.

Nothing is remembered here that could not be found out again: see
:class:`elasticjob_operator.memory.Memory`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Iterable
from datetime import datetime, timezone
from time import monotonic
from typing import Final, Protocol

from elasticjob_operator import (
    api,
    book,
    cluster,
    events,
    history,
    last_words,
    metrics,
    node_facts,
    plan,
    pod_facts,
    pod_status,
    report,
    rounds,
)
from elasticjob_operator.execution import Effects, Executor
from elasticjob_operator.memory import SCALER_AGAIN_S, TELL_AGAIN_S, Memory
from elasticjob_operator.node_facts import Node
from elasticjob_operator.observed import Observed, StoreView
from elasticjob_operator.pod_facts import WorkerPod
from elasticjob_operator.policies import refusals
from elasticjob_operator.provisioning import names
from elasticjob_operator.settings import Settings
from elasticjob_operator.store_access import StoreAccess
from elasticjob_operator.store_facts import StorePod
from elasticjob_operator.store_members import Members
from elasticjob_operator.stores import StoreError
from elasticjob_operator.workqueue import Key, Retry

log = logging.getLogger(__name__)

FIRST_CONTACT_S: Final = 1.0
NAMED_FAILURES: Final = 4
WATCH_LAG_S: Final = 30.0
"""How long the watch may take to tell of a pod that was just made, before it is asked for."""


class Sight(Protocol):
    """What the watches have told."""

    def job(self, key: Key) -> cluster.Manifest | None:
        """Return the job."""

    def workers(self, key: Key) -> Iterable[WorkerPod]:
        """Return the worker pods of this job's name."""

    def store(self, key: Key) -> Iterable[StorePod]:
        """Return the store pods of this job's name."""

    def node(self, name: str) -> Node | None:
        """Return the node of this name."""

    @property
    def sees_nodes(self) -> bool:
        """Whether nodes are watched at all."""

    def any_node_ready(self) -> bool:
        """Return whether any node of the cluster is ready."""


class Reconciler:
    """Looks after jobs."""

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        stores: rounds.Rounds,
        sight: Sight,
        executor: Executor,
        settings: Settings,
    ) -> None:
        self._cluster = the_cluster
        self._stores = stores
        self._sight = sight
        self._executor = executor
        self._settings = settings
        self._access = StoreAccess(the_cluster, settings)
        self._memories: dict[Key, Memory] = {}

    async def reconcile(self, key: Key) -> float | None:
        """Look after one job; return the seconds after which to look again unasked.

        Raises:
            Retry: something could not be done now.
        """
        body = self._sight.job(key)
        memory = self._memories.get(key)
        if memory and (body is None or body["metadata"]["uid"] != memory.uid):
            await self._forget(key)
        if body is None or body["metadata"].get("deletionTimestamp"):
            return None
        memory = self._memories.setdefault(key, Memory(body["metadata"]["uid"]))
        try:
            return await self._attend(key, body, memory)
        except cluster.ClusterError as error:
            raise Retry(str(error)) from error

    async def _attend(self, key: Key, body: cluster.Manifest, memory: Memory) -> float | None:
        followed = self._stores.link(memory.uid)
        decided, effects = await self._plan_and_apply(key, body, memory)
        link = self._stores.link(memory.uid)
        if link and link is not followed:
            # The store is followed only now: hear it before anything is told.
            await link.first_contact(FIRST_CONTACT_S)
            decided, again = await self._plan_and_apply(key, body, memory)
            effects = effects.and_then(again)
        untold_for_s = await self._tell(decided, effects.outcome.after(memory.untold), memory)
        unposted_for_s = await memory.postbox.post(self._cluster)
        if decided.at_rest and untold_for_s is None:
            self._stores.unfollow(memory.uid)
        if effects.problem or effects.refusal:
            raise Retry(effects.problem or effects.refusal)
        delays = [untold_for_s, unposted_for_s, decided.after_s]
        if effects.refused_pods and memory.refused:
            log.warning("%s: %s", key, effects.refused_pods)
            seen = dataclasses.replace(decided.facts.observed, refused=memory.refused)
            delays.append(refusals.again_s(seen))
        if effects.refused_scaler:
            log.warning("%s: %s", key, effects.refused_scaler)
            delays.append(SCALER_AGAIN_S)
        return min((delay_s for delay_s in delays if delay_s is not None), default=None)

    async def _plan_and_apply(
        self, key: Key, body: cluster.Manifest, memory: Memory
    ) -> tuple[plan.Plan, Effects]:
        seen = await self._observe(key, body, memory)
        decided = plan.plan(seen, self._settings)
        return decided, await self._executor.carry_out(key, decided, memory)

    async def _forget(self, key: Key) -> None:
        """The job is no more; what it had in a store that is not its own goes, too."""
        memory = self._memories.pop(key)
        link = self._stores.link(memory.uid)
        if link and memory.borrowed_store:
            with contextlib.suppress(StoreError):
                await link.empty()
        self._stores.unfollow(memory.uid)

    # --- observe ---

    async def _observe(self, key: Key, body: cluster.Manifest, memory: Memory) -> Observed:
        job = api.ElasticJob.model_validate(body)
        if memory.status is not None:
            # Nobody else writes the status, and the watch may be behind.
            job = job.model_copy(update={"status": memory.status})
        pods = [pod for pod in self._sight.workers(key) if pod.job_uid == memory.uid]
        pods = [pod for pod in pods if book.is_possible(job.status.attempts, pod)]
        pods = await self._with_unseen(job, pods, memory)
        stores = [pod for pod in self._sight.store(key) if pod.job_uid == memory.uid]
        link = self._stores.link(memory.uid)
        store = link.view if link else StoreView()
        memory.shown = await self._access.shown(job, memory.shown, heard=store.reachable)
        seen = Observed(
            now=datetime.now(timezone.utc),
            job=job,
            pods=tuple(pod_facts.by_age(pods)),
            store_pods=tuple(sorted(stores, key=lambda pod: pod.name)),
            store=store,
            locked_out=memory.shown.problem,
            sees_nodes=self._sight.sees_nodes,
            refused=memory.refused,
        )
        seen = dataclasses.replace(seen, store_members=await self._store_members(seen))
        nodes = await self._nodes(seen)
        ready = not nodes or self._sight.any_node_ready()
        seen = dataclasses.replace(seen, nodes=nodes, any_node_ready=ready)
        seen = dataclasses.replace(seen, pods=await self._with_logs(seen))
        return dataclasses.replace(seen, last_words=await self._last_words(seen))

    async def _store_members(self, seen: Observed) -> Members:
        """Ask a store of several members for them, while not all of its pods are ready."""
        wanted, link = len(names.members(seen.job)), self._stores.link(seen.job.metadata.uid)
        if wanted == 1 or sum(pod.ready for pod in seen.store_pods) == wanted:
            return ()
        if link is None or link.etcd is None or not seen.store.reachable:
            return ()
        with contextlib.suppress(StoreError):
            return await link.etcd.members()
        return ()

    async def _nodes(self, seen: Observed) -> dict[str, Node]:
        """Return the nodes of the job's pods."""
        if not self._sight.sees_nodes:
            return {}
        used = {pod.node for pod in seen.pods} | {pod.node for pod in seen.store_pods}
        return {name: await self._node(name) for name in sorted(used - {""})}

    async def _node(self, name: str) -> Node:
        if node := self._sight.node(name):
            return node
        # It is gone, or the watch has not told of it yet: only the API server knows.
        body = await self._cluster.node(name)
        return node_facts.node(body) if body else Node(name, absent=True)

    async def _with_logs(self, seen: Observed) -> tuple[WorkerPod, ...]:
        """Have the end of its log for the message of each pod whose failure is news.

        Kubernetes keeps less of it, and torchrun ends with many words.
        """
        ended = [e for e in book.settle(seen)[1] if e.pod and e.ending.account == "own"]
        ran = [e.pod for e in ended if e.pod and e.pod.training.started_at]
        mute = [pod for pod in ran if not last_words.read(pod.training.message).traceback]
        pods = {pod.name: pod for pod in mute[-NAMED_FAILURES:]}
        logs = await asyncio.gather(*(self._log_end(seen.job, name) for name in pods))
        said = {pod.name: pod.saying(log) for pod, log in zip(pods.values(), logs, strict=True)}
        return tuple(said.get(pod.name, pod) for pod in seen.pods)

    async def _last_words(self, seen: Observed) -> dict[str, last_words.LastWords]:
        """Ask for the logs of workers that failed in pods that live on: nothing else tells why.

        Which they are say the workers, who might name a pod that is not theirs.
        """
        failed = history.failed_rounds(seen)[-1:]
        named = [pod for formed in failed for pod in history.restarted(formed)]
        own = {pod.name for pod in seen.pods}
        pods = [pod for pod in named if pod in own][:NAMED_FAILURES]
        logs = await asyncio.gather(*(self._log_end(seen.job, pod) for pod in pods))
        return {pod: last_words.read(log) for pod, log in zip(pods, logs, strict=True)}

    async def _log_end(self, job: api.ElasticJob, pod: str) -> str:
        container = api.training_container(job.spec)
        try:
            return await self._cluster.log_end(job.metadata.namespace, pod, container)
        except cluster.ClusterError:  # it is lost with its pod
            return ""

    async def _with_unseen(
        self, job: api.ElasticJob, pods: list[WorkerPod], memory: Memory
    ) -> list[WorkerPod]:
        """Add the pods that the watch does not tell of, or not yet.

        They were just made, or only the API server knows of them, or they are gone already and how
        they ended is not told yet.
        """
        pods = list((memory.ended | {pod.name: pod for pod in pods}).values())
        seen = {pod.name for pod in pods}
        too_old = monotonic() - WATCH_LAG_S
        memory.fresh = {
            name: (pod, made_at)
            for name, (pod, made_at) in memory.fresh.items()
            if name not in seen and made_at > too_old
        }
        pods = [*pods, *(pod for pod, _ in memory.fresh.values())]
        for name in book.missing(job, pods):
            body = await self._cluster.get("v1", "Pod", job.metadata.namespace, name)
            ours = body and pod_status.owner_uid(body["metadata"]) == memory.uid
            if body and ours and pod_facts.is_worker(body):
                pods.append(pod_facts.worker_pod(body))
        return pods

    # --- report ---

    async def _tell(
        self, decided: plan.Plan, outcome: report.Outcome, memory: Memory
    ) -> float | None:
        """Write what is new; return how long it has to wait if it was written a moment ago.

        Nothing is lost by waiting: a later look tells it from what is then seen and from what the
        memory keeps. Deletions do not wait: the end of a pod that is not known to be wanted would
        count as a failure.
        """
        job = decided.facts.observed.job
        status = report.status(decided, outcome)
        if status == job.status:
            return None
        wait_s = memory.told_at + TELL_AGAIN_S - monotonic()
        memory.untold = outcome
        memory.ended = {entry.name: entry.pod for entry in decided.facts.ended if entry.pod}
        if wait_s > 0 and not outcome.deleted:
            return wait_s
        document = status.model_dump(by_alias=True, exclude_none=True)
        await self._cluster.write_status(job.metadata, document)
        metrics.count_news(job.status, status)
        news = events.events(decided, outcome, status)
        memory.status, memory.told_at = status, monotonic()
        memory.untold, memory.ended = report.Outcome(), {}
        for event in news:
            memory.postbox.put(job, event)
        return None
