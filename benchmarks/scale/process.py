"""The operator as a process: what it uses, and how long its looks at jobs take."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.crowd import processor_s
from localcluster.services import bound_to_caller

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Look:
    """One look at a job: when it began on the monotonic clock, its seconds, and which job."""

    began: float
    took_s: float
    job: str


@dataclass(frozen=True)
class Process:
    """The operator's process, and the file of its looks."""

    pid: int
    looks_file: Path

    def cpu_s(self) -> float:
        """How much processor time it has used so far, in seconds."""
        return processor_s(self.pid)

    def memory_mib(self) -> float:
        """How much memory it holds now, in MiB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / _MIB

    def looks(self) -> list[Look]:
        """Return its looks at jobs so far; one that has not ended is not among them."""
        lines = self.looks_file.read_text(encoding="utf-8").splitlines(keepends=True)
        fields = [line.split() for line in lines if line.endswith("\n")]
        return [Look(float(began), float(took), job) for began, took, job in fields]


@contextmanager
def running(kubeconfig: Path, folder: Path) -> Iterator[Process]:
    """Run the operator until the block ends, by SIGKILL."""
    folder.mkdir(exist_ok=True)
    looks = folder / "looks"
    looks.touch()
    command = [sys.executable, "-m", "benchmarks.scale.timed_operator", str(looks)]
    # setpriv becomes the program it starts: the pid is the operator's.
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*bound_to_caller(), *command],
            env={
                **os.environ,
                "KUBECONFIG": str(kubeconfig),
                "ELASTICJOB_OPERATOR_PROBE_PORT": "0",
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield Process(process.pid, looks)
    finally:
        process.kill()
        process.wait()
