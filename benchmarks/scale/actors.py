"""Who plays the workers: once all pods of a job run, its members register and form a round.

kwok's pods run nothing. Each member's record is a write of its own, as a real agent's is; they
have no leases. The round is written as its leader would.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from benchmarks.comparison import NotMeasured
from benchmarks.progress import say
from benchmarks.scale.world import JOBS, PODS, World
from elasticjob_operator import pod_facts
from elasticjob_operator.pod_facts import WorkerPod
from rdzv_client import etcdv3, wire
from rdzv_client.etcdv3 import messages
from tests import builders

_AT_ONCE: Final = 4
_PUTS: Final = 100
_SAY_AGAIN_S: Final = 10.0


class Stage:
    """Watches pods and jobs, and plays the workers; nothing of it is the operator's.

    Attributes:
        created: The names of the pods seen.
        running: Those that run.
        ready: The names of the jobs whose status says that a round stands.
    """

    def __init__(self, world: World, pods_per_job: int) -> None:
        self._world, self._pods_per_job = world, pods_per_job
        self.created: set[str] = set()
        self.running: set[str] = set()
        self.ready: set[str] = set()
        self._trouble: BaseException | None = None
        self._changed = threading.Condition()
        self._casts: dict[str, list[WorkerPod]] = defaultdict(list)
        self._actors = ThreadPoolExecutor(_AT_ONCE)
        self._own = threading.local()
        for path, see in ((PODS, self._see_pod), (JOBS, self._see_job)):
            threading.Thread(target=self._follow, args=(path, see), daemon=True).start()

    def until(self, condition: Callable[[], bool], what: str, limit_s: float) -> None:
        """Wait for what the watches tell.

        Raises:
            NotMeasured: it did not come, or something of the stage broke.
        """
        began = said = time.monotonic()
        with self._changed:
            while not condition():
                now = time.monotonic()
                if self._trouble:
                    raise NotMeasured(f"while waiting for {what}: {self._trouble!r}")
                if now - began > limit_s:
                    raise NotMeasured(f"{what}: not within {limit_s:g} s; {self}")
                if now - said > _SAY_AGAIN_S:
                    say(f"{now - began:.0f} s: {self}")
                    said = now
                self._changed.wait(_SAY_AGAIN_S)

    def __str__(self) -> str:
        created, running, ready = len(self.created), len(self.running), len(self.ready)
        return f"{created} pods created, {running} run, {ready} jobs ready"

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._trouble = error
            self._changed.notify_all()

    def _follow(self, path: str, see: Callable[[dict[str, Any]], None]) -> None:
        try:
            for event in self._world.server.watch(path):
                if event["type"] in {"ADDED", "MODIFIED"}:
                    see(event["object"])
                    with self._changed:
                        self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - whoever waits is to know
            self._fail(error)

    def _see_pod(self, body: dict[str, Any]) -> None:
        pod = pod_facts.worker_pod(body)
        self.created.add(pod.name)
        if pod.running and pod.name not in self.running:
            self.running.add(pod.name)
            cast = self._casts[pod.job_uid]
            cast.append(pod)
            if len(cast) == self._pods_per_job:
                self._actors.submit(self._play, pod.job_uid, cast)

    def _see_job(self, body: dict[str, Any]) -> None:
        conditions = body.get("status", {}).get("conditions", [])
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            self.ready.add(body["metadata"]["name"])

    def _play(self, job_uid: str, cast: list[WorkerPod]) -> None:
        try:
            self._register_and_form(wire.Keys(f"{job_uid}-0"), cast)
        except BaseException as error:  # noqa: BLE001 - whoever waits is to know
            self._fail(error)

    def _register_and_form(self, keys: wire.Keys, cast: list[WorkerPod]) -> None:
        client = self._client()
        for pod in cast:
            member = builders.a_member(pod)
            client.put(keys.member(member.slot, member.id), wire.encode(member))
        formed = builders.a_round(1, *sorted(cast, key=lambda pod: pod.index))
        ranks = [messages.put(keys.rank(rank.id), wire.encode(rank)) for rank in formed.ranks]
        for first in range(0, len(ranks), _PUTS):
            client.txn([], ranks[first : first + _PUTS])
        for phase, store in (("proposed", None), ("complete", formed.record.store)):
            record = replace(formed.record, phase=phase, store=store)
            client.put(keys.round, wire.encode(record))

    def _client(self) -> etcdv3.Client:
        if not hasattr(self._own, "client"):
            self._own.client = etcdv3.Client([self._world.store_url], request_timeout_s=30)
        client: etcdv3.Client = self._own.client
        return client
