"""Carrying out a plan's actions: on the API server, and in the job's store."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from time import monotonic
from typing import Final

from elasticjob_operator import (
    actions,
    api,
    cluster,
    endings,
    observed,
    pod_facts,
    pod_status,
    possessions,
    report,
    rounds,
    stores,
)
from elasticjob_operator.memory import Memory, Tried
from elasticjob_operator.observed import Refused
from elasticjob_operator.plan import RESYNC_S, STORE_AGAIN_S, Plan
from elasticjob_operator.pod_facts import WorkerPod
from elasticjob_operator.provisioning import addresses, names, stateful_sets
from elasticjob_operator.stores.access import Access
from elasticjob_operator.workqueue import Key

log = logging.getLogger(__name__)

PARALLEL_CREATES: Final = 32


@dataclass
class Effects:
    """What came of a plan's actions so far.

    Attributes:
        refusal: What the API server did not take, in its words.
        refused_pods: The same of pods, some of which may have been taken.
        problem: What could not be done now, and may be possible in a moment.
        refused_scaler: The same of the autoscaler.
        unscaled: Whether the autoscaler was deleted.
    """

    created: list[report.Created] = field(default_factory=list)
    deleted: list[report.Deleted] = field(default_factory=list)
    refusal: str = ""
    refused_pods: str = ""
    problem: str = ""
    refused_scaler: str = ""
    unscaled: bool = False

    @property
    def outcome(self) -> report.Outcome:
        created = sorted(self.created, key=lambda pod: pod.index)
        return report.Outcome(
            tuple(created),
            tuple(self.deleted),
            self.refusal,
            self.refused_pods,
            self.refused_scaler,
            self.unscaled,
        )

    def and_then(self, later: Effects) -> Effects:
        """Return both together; what was in the way before is in the way no longer."""
        return dataclasses.replace(
            later,
            created=[*self.created, *later.created],
            deleted=[*self.deleted, *later.deleted],
            unscaled=self.unscaled or later.unscaled,
        )


class Executor:
    """Carries out plans, one job at a time each."""

    def __init__(
        self, the_cluster: cluster.Cluster, stores: rounds.Rounds, dirty: Callable[[Key], None]
    ) -> None:
        self._cluster = the_cluster
        self._stores = stores
        self._dirty = dirty

    async def carry_out(self, key: Key, decided: Plan, memory: Memory) -> Effects:
        """Do what was decided, in its order, up to the first thing that cannot be done."""
        job, effects = decided.facts.observed.job, Effects()
        creations = [step for step in decided.actions if isinstance(step, actions.CreatePod)]
        scalers = [step for step in decided.actions if isinstance(step, actions.Autoscale)]
        try:
            for step in decided.actions:
                if not isinstance(step, actions.CreatePod | actions.Autoscale):
                    await self._do(key, job, step, memory, effects)
            await self._create_all(job, creations, memory, effects)
            for scaler in scalers:
                effects.refused_scaler = await self._autoscale(scaler.manifest, memory)
        except cluster.Refused as error:
            effects.refusal = str(error)
        except (cluster.Unavailable, stores.StoreError) as error:
            effects.problem = str(error)
        return effects

    async def _do(
        self, key: Key, job: api.ElasticJob, step: actions.Action, memory: Memory, effects: Effects
    ) -> None:
        self._cluster.check_fence()  # the store has none of its own
        namespace = job.metadata.namespace
        match step:
            case actions.Provision(manifests):
                await self._provision(job, manifests, memory)
                self._follow(key, job, memory)
            case actions.FollowStore():
                self._follow(key, job, memory)
            case actions.DeletePod(name, uid, reason, at_once):
                await self._cluster.delete("v1", "Pod", namespace, name, uid, at_once=at_once)
                effects.deleted.append(report.Deleted(name, reason))
            case actions.DeleteJob(reason):
                log.info("%s: deleted: %s", key, reason)
                await self._cluster.delete(
                    api.API_VERSION, api.KIND, namespace, job.metadata.name, memory.uid
                )
            case actions.RemoveStore(objects):
                memory.provisioned = ()
                for version, kind, name in objects:
                    await self._cluster.delete(version, kind, namespace, name)
            case actions.StopAutoscaling(reference):
                await possessions.remove(self._cluster, namespace, reference, memory.uid)
                memory.scaler, effects.unscaled = None, True
            case actions.TryPod(name, stateful_set):
                await self._try_pod(name, stateful_set)
            case _:
                if link := self._stores.link(memory.uid):
                    await self._write(link, namespace, step)

    async def _write(self, link: rounds.Link, namespace: str, step: actions.Action) -> None:
        """Do what is to be done in the store itself."""
        match step:
            case actions.WriteSettings(settings):
                await link.write_settings(settings)
            case actions.TellSites(sites):
                await link.tell_sites(sites)
            case actions.Drain(uids, reason):
                await link.drain(uids, reason)
            case actions.MarkGone(uid, reason):
                await link.mark_gone(uid, reason)
            case actions.ConfirmGone(name, uid):
                pod = await self._cluster.get("v1", "Pod", namespace, name)
                if pod is None or pod["metadata"]["uid"] != uid:
                    await link.mark_gone(uid, f"its pod {endings.VANISHED.message}")
            case actions.ReadmitMember(name, uid, peer_url):
                pod = await self._cluster.get("v1", "Pod", namespace, name)
                # Its successor may be in already.
                if link.etcd and pod and pod["metadata"]["uid"] == uid:
                    await link.etcd.readmit(peer_url)
            case actions.EmptyStore():
                await link.empty()

    # --- what a job needs besides its workers ---

    async def _provision(
        self, job: api.ElasticJob, manifests: tuple[actions.Manifest, ...], memory: Memory
    ) -> None:
        link = self._stores.link(memory.uid)
        again_s = RESYNC_S if link and link.view.reachable else STORE_AGAIN_S
        is_fresh = monotonic() - memory.provisioned_at < again_s
        if memory.provisioned == manifests and is_fresh:
            return
        operators_service = ("Service", names.operators_service(job))
        for manifest in manifests:
            made = await possessions.ensure(self._cluster, manifest, memory.uid)
            if (made["kind"], made["metadata"]["name"]) == operators_service:
                memory.store_host = made["spec"].get("clusterIP") or ""
        memory.provisioned, memory.provisioned_at = manifests, monotonic()

    async def _autoscale(self, manifest: actions.Manifest, memory: Memory) -> str:
        """Make sure of the autoscaler; return why it is not taken."""
        last, refusal = memory.scaler, ""
        if last and last.manifest == manifest and last.stands:
            return last.refusal
        try:
            await possessions.apply(self._cluster, manifest, memory.uid)
        except cluster.Refused as error:
            refusal = f"the autoscaler of spec.autoscaling is refused: {error}"
        memory.scaler = Tried(manifest, monotonic(), refusal)
        return refusal

    async def _try_pod(self, name: str, stateful_set: actions.Manifest) -> None:
        """Hear what the API server says to the pod, and to the claims for its volumes.

        If it takes them, have the controller know.

        Raises:
            Refused: it does not take one of them.
        """
        for claim in stateful_sets.claims(stateful_set, name):
            what = f"volume claim {claim['metadata']['name']}"
            await self._is_there(claim, f"the rendezvous store's {what}")
        pod = stateful_sets.pod(stateful_set, name)
        if not await self._is_there(pod, f"the rendezvous store's pod {name}"):
            await self._cluster.apply(stateful_sets.touched(stateful_set, str(monotonic())))

    async def _is_there(self, manifest: actions.Manifest, what: str) -> bool:
        """Return whether the object is there already; say so if it would not be taken."""
        try:
            await self._cluster.create(manifest, dry_run=True)
        except cluster.Refused as error:
            if error.reason == "AlreadyExists":
                return True
            words = f"the API server refuses {what}: {error}"
            raise cluster.Refused(error.status, error.reason, words) from error
        return False

    def _follow(self, key: Key, job: api.ElasticJob, memory: Memory) -> None:
        if memory.shown is None or memory.shown.access is None:
            return
        memory.borrowed_store = not names.has_own_store(job)
        where = _where(job, memory.store_host, memory.shown.access)
        told = job.status.rendezvous.model_copy(update={"run_id": observed.run_id(job)})
        self._stores.follow(memory.uid, where, told, lambda: self._dirty(key))

    # --- workers ---

    async def _create_all(
        self,
        job: api.ElasticJob,
        steps: Sequence[actions.CreatePod],
        memory: Memory,
        effects: Effects,
    ) -> None:
        """Create pods, many at a time; some may be refused, and are remembered so.

        Raises:
            Unavailable: some of them were not created; those that were are in ``effects``.
        """
        slots = asyncio.Semaphore(PARALLEL_CREATES)

        async def create(step: actions.CreatePod) -> None:
            async with slots:
                pod = await self._create(job, step)
            memory.fresh[pod.name] = (pod, monotonic())
            effects.created.append(report.Created(pod.name, step.index, step.attempt))

        results = await asyncio.gather(*map(create, steps), return_exceptions=True)
        failed = [result for result in results if isinstance(result, BaseException)]
        refused = [error for error in failed if isinstance(error, cluster.Refused)]
        if steps:
            effects.refused_pods = str(refused[0]) if refused else ""
            memory.refused = _refused(effects, memory.refused)
        for error in failed:
            if error not in refused:
                raise error

    async def _create(self, job: api.ElasticJob, step: actions.CreatePod) -> WorkerPod:
        try:
            return pod_facts.worker_pod(await self._cluster.create(step.manifest))
        except cluster.Refused as error:
            if error.reason != "AlreadyExists":
                words = f"the API server refuses the pod {step.name}: {error}"
                raise cluster.Refused(error.status, error.reason, words) from error
        namespace, uid = job.metadata.namespace, job.metadata.uid
        pod = await self._cluster.get("v1", "Pod", namespace, step.name)
        if pod and pod_status.owner_uid(pod["metadata"]) == uid:
            return pod_facts.worker_pod(pod)
        raise possessions.taken("Pod", step.name)


def _where(job: api.ElasticJob, address: str, access: Access) -> stores.Where:
    if names.has_host(job):
        return stores.C10dHost(addresses.bridge_url(job, address), access.token)
    return stores.Etcd(addresses.store_urls(job, address), access)


def _refused(effects: Effects, before: Refused | None) -> Refused | None:
    """Take note of a refusal; as long as nothing is taken it is the same one as before."""
    if not effects.refused_pods:
        return None
    times = before.times + 1 if before and not effects.created else 1
    return Refused(effects.refused_pods, datetime.now(timezone.utc), times)
