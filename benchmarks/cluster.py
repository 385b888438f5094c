"""A whole cluster, the operator installed in it, and jobs whose training stamps its steps."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.comparison import NotMeasured
from benchmarks.progress import say
from examples.demo import release
from examples.demo.commands import CommandError, Tools
from examples.demo.narrator import Narrator
from localcluster import binaries, paths
from localcluster import cluster as local_cluster
from localcluster.errors import LocalClusterError

NAME: Final = "bench"
JOB: Final = "steps"

_NODES: Final = 2
_LOOK_AGAIN_S: Final = 0.5
_SELECTOR: Final = f"--selector=rdzv.dev/job={JOB},rdzv.dev/role=worker"

# One all-reduce is a step: it needs every worker of the round.
_TRAINING: Final = """
import time
import torch
import torch.distributed as dist

began = time.time()
dist.init_process_group("gloo")
while True:
    dist.all_reduce(torch.ones(1))
    print(f"step at {time.time()} of {dist.get_world_size()} since {began}", flush=True)
    time.sleep(0.02)
"""
_STEP: Final = re.compile(r"step at (?P<at>[\d.]+) of (?P<world>\d+) since (?P<since>[\d.]+)")


@dataclass(frozen=True)
class Step:
    """A step of training: when it was done, by how many, and when their processes had begun.

    All clocks are this machine's.
    """

    at: float
    world: int
    since: float


def steps(log: str) -> list[Step]:
    """Return the steps in a log, in the order of their time."""
    found = [
        Step(float(match["at"]), int(match["world"]), float(match["since"]))
        for match in _STEP.finditer(log)
    ]
    return sorted(found, key=lambda step: step.at)


@dataclass(frozen=True)
class Cluster:
    """The cluster, with the operator in it."""

    tools: Tools

    def apply(self, replicas: int) -> None:
        """Create the job."""
        self.tools.ask("kubectl", "apply", "--filename=-", stdin=yaml.safe_dump(_job(replicas)))

    def scale(self, replicas: int) -> None:
        """Have the job have so many workers."""
        self.tools.ask("kubectl", "scale", f"elasticjob/{JOB}", f"--replicas={replicas}")

    def kill_a_worker(self) -> None:
        """Kill the container of the last of the workers that run, as a kernel short of memory does.

        Raises:
            NotMeasured: its process is not found.
        """
        uid = "{.items[-1:].metadata.uid}"
        running = "--field-selector=status.phase=Running"
        found = self._kubectl("get", "pods", _SELECTOR, running, f"--output=jsonpath={uid}")
        os.kill(_first_process_of(found), signal.SIGKILL)

    def step(self, wanted: Callable[[Step], bool], what: str, limit_s: float) -> Step:
        """Return the first such step.

        Raises:
            NotMeasured: there is none within the time.
        """
        ends_at = time.monotonic() + limit_s
        while True:
            log = ""
            with contextlib.suppress(CommandError):  # a container that is still coming has no log
                log = self._kubectl("logs", _SELECTOR, "--tail=-1", "--max-log-requests=20")
            if found := [step for step in steps(log) if wanted(step)]:
                return found[0]
            if time.monotonic() > ends_at:
                raise NotMeasured(f"{what}: not within {limit_s:g} s")
            time.sleep(_LOOK_AGAIN_S)  # each step carries its own time

    @contextlib.contextmanager
    def without_operator(self) -> Iterator[None]:
        """Have no operator within this."""
        self._scale_operator(0)
        self._in_release("wait", "--for=delete", "pod", "--all", "--timeout=60s")
        try:
            yield
        finally:
            self._scale_operator(1)
            self._in_release("rollout", "status", release.DEPLOYMENT, "--timeout=80s")

    def delete(self) -> None:
        """Delete the job, and wait until its pods are gone."""
        self._kubectl("delete", f"elasticjob/{JOB}")
        self._kubectl("wait", "--for=delete", "pods", _SELECTOR, "--timeout=90s")

    def _scale_operator(self, replicas: int) -> None:
        self._in_release("scale", release.DEPLOYMENT, f"--replicas={replicas}")

    def _in_release(self, *words: str) -> None:
        self._kubectl(f"--namespace={release.NAMESPACE}", *words)

    def _kubectl(self, *words: str) -> str:
        return self.tools.ask("kubectl", *words, timeout_s=100)


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """Run a cluster of the benchmark's own until the block ends.

    Raises:
        NotMeasured: it cannot run here.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NotMeasured("the local cluster needs Linux and root")
    folder = binaries.ensure(["kubectl", "helm"])["kubectl"].parent
    try:
        made = local_cluster.up(NAME, _NODES, new=True)
        tools = Tools(Narrator(), kubeconfig=made.control_plane.kubeconfig, folder=folder)
        with contextlib.redirect_stdout(sys.stderr):  # it is no result
            release.install(tools)
        say("the operator is installed")
        yield Cluster(tools)
    except (LocalClusterError, CommandError) as error:
        raise NotMeasured(str(error)) from None
    finally:
        local_cluster.down(NAME)


def _job(replicas: int) -> dict[str, Any]:
    example = paths.REPOSITORY / "examples" / "digits.yaml"
    job: dict[str, Any] = yaml.safe_load(example.read_text(encoding="utf-8"))
    job["metadata"]["name"] = JOB
    job["spec"]["replicas"] = replicas
    container = job["spec"]["template"]["spec"]["containers"][0]
    write = f"cat > /tmp/train.py <<'END'\n{_TRAINING}\nEND\n"
    container["command"] = ["sh", "-c", f"{write}exec torchrun /tmp/train.py"]
    return job


def _first_process_of(pod_uid: str) -> int:
    """Return the process whose end is the end of the pod's training container."""
    mark = f"RDZV_POD_UID={pod_uid}".encode()
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and mark in (process / "environ").read_bytes().split(b"\0"):
                status = (process / "status").read_text()
                if re.search(r"^NSpid:.*\t1$", status, re.MULTILINE):
                    return int(process.name)
    raise NotMeasured(f"no process of the pod with UID {pod_uid} is found")
