"""The operator at scale: jobs come, rounds form, nothing happens, and the operator restarts."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from typing import Final

from benchmarks.progress import say, until
from benchmarks.scale import audit, process, world
from benchmarks.scale.actors import Stage
from benchmarks.scale.process import Process
from benchmarks.scale.world import World
from tests import builders

Figures = dict[str, float]

_START_LIMIT_S: Final = 60.0
_APPLIERS: Final = 4
_REST_S: Final = 2.0
"""A state counts as settled when nothing was asked and no job looked at for so long."""


class Trial:
    """Some jobs of some pods each, and one operator.

    Args:
        jobs: How many.
        pods_per_job: How many pods each has.
        steady_s: How long nothing happens, for what that costs.
        limit_s: For any one stage.
    """

    def __init__(self, jobs: int, pods_per_job: int, steady_s: float, limit_s: float) -> None:
        self._jobs, self._pods_per_job = jobs, pods_per_job
        self._steady_s, self._limit_s = steady_s, limit_s

    @property
    def _pods(self) -> int:
        return self._jobs * self._pods_per_job

    def run(self) -> Figures:
        """Carry it out; return what was measured.

        Raises:
            NotMeasured: something cannot be started, or does not come within its time.
        """
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            here = stack.enter_context(world.running(folder, self._pods))
            stage = Stage(here, self._pods_per_job)
            with process.running(here.kubeconfig, folder / "first") as first:
                self._until_watching(here, first)
                figures = self._form(here, stage, first)
                figures |= self._rest(here, first)
            with process.running(here.kubeconfig, folder / "second") as second:
                figures |= self._come_back(here, second)
        return figures

    def _until_watching(self, here: World, operator: Process) -> None:
        def watching() -> bool:
            seen = {call.what for call in audit.read(here.calls_log) if call.verb == "watch"}
            return {"elasticjobs", "pods"} <= seen

        until(watching, "the operator watches jobs and pods", _START_LIMIT_S)
        say(f"the operator serves, with {operator.memory_mib():.0f} MiB")

    def _form(self, here: World, stage: Stage, operator: Process) -> Figures:
        """Create the jobs; until all say that their round stands."""
        began, began_at, cpu_s = time.monotonic(), time.time(), operator.cpu_s()
        with ThreadPoolExecutor(_APPLIERS) as appliers:
            list(appliers.map(lambda name: self._apply(here, name), self._names()))
        say(f"{self._jobs} jobs are there after {time.monotonic() - began:.1f} s")
        stage.until(lambda: len(stage.created) == self._pods, "all pods", self._limit_s)
        created_s = time.monotonic() - began
        say(f"after {created_s:.1f} s: {stage}")
        stage.until(lambda: len(stage.ready) == self._jobs, "all rounds", self._limit_s)
        ready_s = time.monotonic() - began
        say(f"after {ready_s:.1f} s: {stage}")
        self._until_at_rest(here, operator)
        calls = audit.read(here.calls_log, began_at)
        for kind, count in audit.by_kind(calls).most_common():
            say(f"{count} x {kind}")
        return {
            "created": created_s,
            "ready": ready_s,
            "cpu": operator.cpu_s() - cpu_s,
            "memory": operator.memory_mib(),
            "calls-per-pod": len(calls) / self._pods,
            **_writes(calls, self._jobs),
            **_looks(operator),
        }

    def _rest(self, here: World, operator: Process) -> Figures:
        """Let nothing happen for a while."""
        began, cpu_s = time.time(), operator.cpu_s()
        time.sleep(self._steady_s)  # what is measured: that nothing happens
        calls = audit.read(here.calls_log, began, began + self._steady_s)
        return {
            "steady-lists": float(sum(call.verb == "list" for call in calls)),
            "steady-calls": len(calls) / self._steady_s,
            "steady-cpu": (operator.cpu_s() - cpu_s) / self._steady_s,
        }

    def _come_back(self, here: World, operator: Process) -> Figures:
        """Let a new operator take over; until it has looked at all jobs and is at rest."""
        began, began_at = time.monotonic(), time.time()

        def seen_all() -> bool:
            return len({look.job for look in operator.looks()}) == self._jobs

        until(seen_all, "all jobs looked at again", self._limit_s)
        took_s = max(look.began + look.took_s for look in operator.looks()) - began
        self._until_at_rest(here, operator)
        calls = audit.read(here.calls_log, began_at)
        for kind, count in audit.by_kind(calls).most_common():
            say(f"after the restart {count} x {kind}")
        figures = {
            "back": took_s,
            "cpu": operator.cpu_s(),
            "memory": operator.memory_mib(),
            "calls-per-pod": len(calls) / self._pods,
            **_writes(calls, self._jobs),
            **_looks(operator),
        }
        return {f"restart-{name}": figure for name, figure in figures.items()}

    def _until_at_rest(self, here: World, operator: Process) -> None:
        def at_rest() -> bool:
            now, at = time.monotonic(), time.time()
            asked = audit.read(here.calls_log, at - _REST_S)
            looked = any(look.began + look.took_s > now - _REST_S for look in operator.looks())
            return not asked and not looked

        until(at_rest, "the operator is at rest", self._limit_s)

    def _names(self) -> list[str]:
        return [f"job-{i}" for i in range(self._jobs)]

    def _apply(self, here: World, name: str) -> None:
        n = self._pods_per_job
        trainer = {"name": "trainer", "image": "trainer:1", "command": ["torchrun", "train.py"]}
        manifest = builders.manifest(
            name,
            replicas=n,
            minReplicas=n,
            maxReplicas=n,
            rendezvous={"etcd": {"endpoints": [here.store_url]}},
            # The fake nodes keep the taint that a controller would take away.
            template={"spec": {"containers": [trainer], "tolerations": [{"operator": "Exists"}]}},
        )
        here.server.create(world.JOBS, manifest)


def _writes(calls: list[audit.Call], jobs: int) -> Figures:
    writes = [call for call in calls if call.is_status_write]
    return {
        "status-writes-per-job": len(writes) / jobs,
        "status-writes-per-second": float(audit.most_within(writes, 1.0)),
    }


def _looks(operator: Process) -> Figures:
    took_ms = [look.took_s * 1000 for look in operator.looks()]
    cuts = quantiles(took_ms, n=100) if len(took_ms) > 1 else took_ms * 99
    return {"looks": float(len(took_ms)), "look-p50": cuts[49], "look-p99": cuts[98]}


Measured = Callable[[int, float], Figures]


def many_jobs(steady_s: float) -> Measured:
    """Measure as many jobs, of 4 pods each."""
    return lambda n, limit_s: Trial(n, 4, steady_s, limit_s).run()


def one_job(steady_s: float) -> Measured:
    """Measure one job, of as many pods."""
    return lambda n, limit_s: Trial(1, n, steady_s, limit_s).run()
