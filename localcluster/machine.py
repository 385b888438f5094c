"""Machines of the cluster, seen from the host: start, find, enter and end them.

Which machines run is read from the kernel, never from a file: a machine is the process that has
its specification's path on its command line and is PID 1 of a namespace. So nothing can be stale,
and no other process can be taken for it.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcluster import paths
from localcluster.errors import LocalClusterError
from localcluster.progress import failure
from localcluster.services import Service

_PROGRAM = "localcluster.machine_init"
_SPEC = "machine.json"
_END_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Machine:
    """What a machine consists of.

    Attributes:
        name: its hostname.
        folder: its specification, logs and data.
        services: what it runs.
        network: commands that set up its side of the network.
        sysctl: kernel settings of its network, by path below /proc/sys.
        bind: a folder of the host, by the path at which the machine sees it.
        pretend: what a file seems to contain, by its path.
    """

    name: str
    folder: Path
    services: Sequence[Service]
    network: Sequence[Sequence[str]]
    sysctl: Mapping[str, str] = field(default_factory=dict)
    bind: Mapping[str, Path] = field(default_factory=dict)
    pretend: Mapping[str, str] = field(default_factory=dict)

    @property
    def logs(self) -> Path:
        """Holds a log of each service."""
        return self.folder / "log"

    @property
    def log(self) -> Path:
        """The machine's own log: what went wrong when it was set up, and which services ended."""
        return self.logs / "machine.log"

    def document(self) -> dict[str, Any]:
        """Return what `machine_init` reads."""
        return {
            "hostname": self.name,
            "logs": str(self.logs),
            # What programs write to the usual places stays in the machine and ends with it.
            "cover": ["/run", "/var/lib"],
            "keep": [str(path) for path in (paths.state(), paths.cache(), paths.REPOSITORY)],
            "bind": {target: str(source) for target, source in self.bind.items()},
            "pretend": dict(self.pretend),
            "network": [list(command) for command in self.network],
            "sysctl": dict(self.sysctl),
            "services": [service.document() for service in self.services],
        }


class Starting:
    """A machine that exists but waits for its network; `proceed()` lets it go on."""

    def __init__(self, machine: Machine) -> None:
        """Start it.

        Raises:
            LocalClusterError: the kernel does not let us.
        """
        machine.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        spec = machine.folder / _SPEC
        spec.write_text(json.dumps(machine.document(), indent=2))
        with machine.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _PROGRAM, str(spec)],
                cwd="/",
                env={**_environment(), "PYTHONPATH": str(paths.REPOSITORY)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        with self._process.stdout as output:
            said = output.read()
        self._process.wait()
        if not said:
            self._close()
            raise failure(f"the machine {machine.name} does not start", machine.log)
        self.pid = int(said)

    def proceed(self) -> None:
        """Tell the machine that its network cable is plugged in."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._close()

    def _close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()


def _environment() -> dict[str, str]:
    """Return what a machine sees of the caller's environment: nothing that changes programs."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def running(under: Path) -> dict[Path, int]:
    """Return the PID of every machine whose folder is `under` or below it, by its folder."""
    found = {folder: pid for folder, pid in _all() if folder.is_relative_to(under)}
    return dict(sorted(found.items()))


def restarts(folder: Path, service: str) -> int:
    """Return how often a service of the machine in that folder has ended and been started again."""
    try:
        log = (folder / "log" / "machine.log").read_text()
    except FileNotFoundError:
        return 0
    return log.count(f" {service} ended with ")


def elsewhere(cluster: str, under: Path) -> Path | None:
    """Return the folder of a running cluster of that name that is not `under`, if there is one."""
    for folder, _ in _all():
        if folder.parent.name == cluster and folder.parent != under:
            return folder.parent
    return None


def find(folder: Path) -> int | None:
    """Return the PID of the machine in that folder, None when it does not run."""
    return running(folder).get(folder)


def _all() -> list[tuple[Path, int]]:
    found = ((_folder_of(pid), pid) for pid in _pids())
    return [(folder, pid) for folder, pid in found if folder is not None]


def _pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _folder_of(pid: int) -> Path | None:
    """Return the folder of the machine whose first process this is, None if it is not one."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if _PROGRAM not in command:
            return None
        status = Path(f"/proc/{pid}/status").read_text()
    except (OSError, UnicodeDecodeError):  # gone meanwhile, or no text: not ours
        return None
    pids = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
    spec = Path(command[command.index(_PROGRAM) + 1])
    return spec.parent if len(pids) > 1 and pids[-1] == "1" else None


def end(folder: Path) -> bool:
    """End the machine in that folder as pulling its plug would; return whether it ran.

    When this returns, no process of it exists any more, nor can one come back.

    Raises:
        LocalClusterError: the kernel does not end it in time.
    """
    pid = find(folder)
    if pid is None:
        return False
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if _folder_of(pid) == folder:  # the descriptor holds what was found, not a later process
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(_END_TIMEOUT_S * 1000):
            raise LocalClusterError(f"process {pid} of {folder.name} did not end when killed")
    finally:
        os.close(descriptor)
    return True


def enter(pid: int, *command: str) -> list[str]:
    """Return the command line that runs `command` inside the machine, with its root directory."""
    return ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", *command]
