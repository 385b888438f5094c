"""One job, looked after once: observe, plan, apply, report.

Nothing is remembered here that could not be found out again: the status last written, the pods
just made, what was provisioned. They only save asking.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from time import monotonic
from typing import Final, Protocol

from elasticjob_operator import (
    actions,
    api,
    book,
    cluster,
    endings,
    events,
    observed,
    plan,
    provision,
    report,
    rounds,
)
from elasticjob_operator.observed import Observed, StorePod, StoreView, WorkerPod
from elasticjob_operator.settings import Settings
from elasticjob_operator.workqueue import Key, Retry

log = logging.getLogger(__name__)

FIRST_CONTACT_S: Final = 1.0
WATCH_LAG_S: Final = 5.0
"""How long the watch may take to tell of a pod that was just made, before it is asked for."""
PROVISION_AGAIN_S: Final = 15.0
PARALLEL_CREATES: Final = 32


class Sight(Protocol):
    """What the watches have told."""

    def job(self, key: Key) -> cluster.Manifest | None:
        """Return the job."""

    def workers(self, key: Key) -> Iterable[WorkerPod]:
        """Return the worker pods of this job's name."""

    def store(self, key: Key) -> Iterable[StorePod]:
        """Return the store pods of this job's name."""


@dataclass
class Memory:
    """What saves asking about one job."""

    uid: str
    status: api.ElasticJobStatus | None = None
    fresh: dict[str, tuple[WorkerPod, float]] = field(default_factory=dict)
    provisioned: tuple[actions.Manifest, ...] = ()
    provisioned_at: float = -PROVISION_AGAIN_S
    store_host: str = ""


class Reconciler:
    """Looks after jobs."""

    def __init__(
        self,
        the_cluster: cluster.Cluster,
        stores: rounds.Rounds,
        sight: Sight,
        settings: Settings,
        dirty: Callable[[Key], None],
    ) -> None:
        self._cluster = the_cluster
        self._stores = stores
        self._sight = sight
        self._settings = settings
        self._dirty = dirty
        self._memories: dict[Key, Memory] = {}

    async def reconcile(self, key: Key) -> float | None:
        """Look after one job; return the seconds after which to look again unasked.

        Raises:
            Retry: something could not be done now.
        """
        body = self._sight.job(key)
        memory = self._memories.get(key)
        if memory and (body is None or body["metadata"]["uid"] != memory.uid):
            self._forget(key)
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
        await self._tell(decided, effects.outcome, memory)
        if decided.over and not decided.actions and decided.after_s is None:
            self._stores.unfollow(memory.uid)
        if effects.problem or effects.outcome.refusal:
            raise Retry(effects.problem or effects.outcome.refusal)
        return decided.after_s

    async def _plan_and_apply(
        self, key: Key, body: cluster.Manifest, memory: Memory
    ) -> tuple[plan.Plan, Effects]:
        seen = await self._observe(key, body, memory)
        decided = plan.plan(seen, self._settings)
        return decided, await self._apply(key, decided, memory)

    def _forget(self, key: Key) -> None:
        memory = self._memories.pop(key)
        self._stores.unfollow(memory.uid)

    # --- observe ---

    async def _observe(self, key: Key, body: cluster.Manifest, memory: Memory) -> Observed:
        job = api.ElasticJob.model_validate(body)
        if memory.status is not None:
            # Nobody else writes the status, and the watch may be behind.
            job = job.model_copy(update={"status": memory.status})
        pods = [pod for pod in self._sight.workers(key) if pod.job_uid == memory.uid]
        pods = await self._with_unseen(job, pods, memory)
        link = self._stores.link(memory.uid)
        return Observed(
            now=datetime.now(timezone.utc),
            job=job,
            pods=tuple(observed.by_age(pods)),
            store_pod=next((p for p in self._sight.store(key) if p.job_uid == memory.uid), None),
            store=link.view if link else StoreView(),
        )

    async def _with_unseen(
        self, job: api.ElasticJob, pods: list[WorkerPod], memory: Memory
    ) -> list[WorkerPod]:
        """Add the pods that were just made, or that only the API server knows of yet."""
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
            if body and observed.owner_uid(body["metadata"]) == memory.uid:
                pods.append(observed.worker_pod(body))
        return pods

    # --- apply ---

    async def _apply(self, key: Key, decided: plan.Plan, memory: Memory) -> Effects:
        job, effects = decided.facts.observed.job, Effects()
        creations = [step for step in decided.actions if isinstance(step, actions.CreatePod)]
        try:
            for step in decided.actions:
                if not isinstance(step, actions.CreatePod):
                    await self._do(key, job, step, memory, effects)
            await self._create_all(job, creations, memory, effects)
        except cluster.Refused as error:
            effects.refusal = str(error)
        except (cluster.Unavailable, rounds.StoreError) as error:
            effects.problem = str(error)
        return effects

    async def _do(
        self, key: Key, job: api.ElasticJob, step: actions.Action, memory: Memory, effects: Effects
    ) -> None:
        namespace = job.metadata.namespace
        link = self._stores.link(memory.uid)
        match step:
            case actions.Provision(manifests):
                await self._provision(manifests, memory)
                self._follow(key, job, memory)
            case actions.FollowStore():
                self._follow(key, job, memory)
            case actions.DeletePod(name, uid, reason):
                await self._cluster.delete("v1", "Pod", namespace, name, uid)
                effects.deleted.append(report.Deleted(name, reason))
            case actions.RemoveStore(name):
                await self._cluster.delete("v1", "Service", namespace, name)
                await self._cluster.delete("apps/v1", "StatefulSet", namespace, name)
            case actions.WriteSettings(settings) if link:
                await link.write_settings(settings)
            case actions.MarkGone(uid, reason) if link:
                await link.mark_gone(uid, reason)
            case actions.ConfirmGone(name, uid) if link:
                pod = await self._cluster.get("v1", "Pod", namespace, name)
                if pod is None or pod["metadata"]["uid"] != uid:
                    await link.mark_gone(uid, f"its pod {endings.VANISHED.message}")
            case actions.EmptyStore() if link:
                await link.empty()

    async def _provision(self, manifests: tuple[actions.Manifest, ...], memory: Memory) -> None:
        link = self._stores.link(memory.uid)
        again_s = plan.RESYNC_S if link and link.view.reachable else PROVISION_AGAIN_S
        fresh = monotonic() - memory.provisioned_at < again_s
        if memory.provisioned == manifests and fresh:
            return
        for manifest in manifests:
            made = await self._ensure(manifest, memory.uid)
            if made["kind"] == "Service":
                memory.store_host = made["spec"].get("clusterIP") or ""
        memory.provisioned, memory.provisioned_at = manifests, monotonic()

    async def _ensure(self, manifest: actions.Manifest, uid: str) -> cluster.Manifest:
        """Make the object, or bring it up to date; never take over one that is not this job's."""
        try:
            return await self._cluster.create(manifest)
        except cluster.Refused as error:
            if error.reason != "AlreadyExists":
                raise
        kind, metadata = manifest["kind"], manifest["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        there = await self._cluster.get(manifest["apiVersion"], kind, namespace, name)
        if there is None or observed.owner_uid(there["metadata"]) != uid:
            raise _taken(kind, name)
        return await self._cluster.apply(manifest)

    def _follow(self, key: Key, job: api.ElasticJob, memory: Memory) -> None:
        urls = provision.store_urls(job, memory.store_host)
        since = job.status.rendezvous.revision
        self._stores.follow(memory.uid, urls, observed.run_id(job), since, lambda: self._dirty(key))

    async def _create_all(
        self,
        job: api.ElasticJob,
        steps: Sequence[actions.CreatePod],
        memory: Memory,
        effects: Effects,
    ) -> None:
        """Create pods, many at a time.

        Raises:
            ClusterError: some of them were not created; those that were are in ``effects``.
        """
        slots = asyncio.Semaphore(PARALLEL_CREATES)

        async def create(step: actions.CreatePod) -> None:
            async with slots:
                pod = await self._create(job, step)
            memory.fresh[pod.name] = (pod, monotonic())
            effects.created.append(report.Created(pod.name, step.index, step.attempt))

        results = await asyncio.gather(*map(create, steps), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _create(self, job: api.ElasticJob, step: actions.CreatePod) -> WorkerPod:
        try:
            return observed.worker_pod(await self._cluster.create(step.manifest))
        except cluster.Refused as error:
            if error.reason != "AlreadyExists":
                raise
        namespace, uid = job.metadata.namespace, job.metadata.uid
        pod = await self._cluster.get("v1", "Pod", namespace, step.name)
        if pod and observed.owner_uid(pod["metadata"]) == uid:
            return observed.worker_pod(pod)
        raise _taken("Pod", step.name)

    # --- report ---

    async def _tell(self, decided: plan.Plan, outcome: report.Outcome, memory: Memory) -> None:
        job = decided.facts.observed.job
        status = report.status(decided, outcome)
        if status == job.status:
            return
        document = status.model_dump(by_alias=True, exclude_none=True)
        await self._cluster.write_status(job.metadata, document)
        news = events.events(decided, outcome, status)
        memory.status = status
        for event in news:
            await self._post(job, event)

    async def _post(self, job: api.ElasticJob, event: events.Event) -> None:
        where = f"{job.metadata.namespace}/{job.metadata.name}"
        level = logging.WARNING if event.kind == "Warning" else logging.INFO
        log.log(level, "%s: %s: %s", where, event.reason, event.message)
        now, suffix = datetime.now(timezone.utc), uuid.uuid4().hex[:16]
        try:
            await self._cluster.create(events.manifest(event, job, now, suffix))
        except cluster.ClusterError as error:
            log.warning("%s: the event %s was not posted: %s", where, event.reason, error)


def _taken(kind: str, name: str) -> cluster.Refused:
    words = f"the {kind} {name} is there already and is not this job's; waiting for it to go"
    return cluster.Refused(409, "AlreadyExists", words)


@dataclass
class Effects:
    """What came of a plan's actions so far."""

    created: list[report.Created] = field(default_factory=list)
    deleted: list[report.Deleted] = field(default_factory=list)
    refusal: str = ""
    problem: str = ""

    @property
    def outcome(self) -> report.Outcome:
        created = sorted(self.created, key=lambda pod: pod.index)
        return report.Outcome(tuple(created), tuple(self.deleted), self.refusal)

    def and_then(self, later: Effects) -> Effects:
        """Return both together; what was in the way before is in the way no longer."""
        return dataclasses.replace(
            later,
            created=[*self.created, *later.created],
            deleted=[*self.deleted, *later.deleted],
        )
