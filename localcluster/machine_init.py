"""The first process of a machine of the cluster: `python -m localcluster.machine_init SPEC`.

A machine is a set of Linux namespaces: processes, mounts, network, hostname. This program makes
them, says the new machine's PID on standard output, waits for a line on standard input (by then
the network cable is plugged in), sets the machine up as SPEC says, and then keeps its services
running. It is the machine's PID 1: when it ends, the kernel ends every process in it, and with the
last of them go mounts and interfaces. It imports the standard library only.
"""

import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
_CLONE_NEWPID, _CLONE_NEWNET = 0x20000000, 0x40000000
_NAMESPACES = _CLONE_NEWNS | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWPID | _CLONE_NEWNET
_RESTART_DELAY_S = 1.0
_AFTER_POLL_S = 0.05
_MAX_OPEN_FILES = 1 << 20


def main() -> None:
    """Make the namespaces; the parent says the child's PID and ends, the child is the machine."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NAMESPACES) != 0:
        sys.exit(f"cannot make Linux namespaces: {os.strerror(ctypes.get_errno())}")
    if pid := os.fork():
        print(pid, flush=True)
        return
    os.dup2(2, 1)  # the starter waits for the end of what the parent says
    if not sys.stdin.readline():
        sys.exit("the starter of this machine went away before its network was there")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _set_up(spec)
    _Supervisor(spec).run()


def _set_up(spec: dict[str, Any]) -> None:
    socket.sethostname(spec["hostname"])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, _MAX_OPEN_FILES), most))
    _run("mount", "--no-mtab", "--make-rprivate", "/")
    _run("mount", "--no-mtab", "--make-rshared", "/")
    _run("mount", "--no-mtab", "-t", "proc", "proc", "/proc")
    for folder in spec["cover"]:
        _cover(Path(folder), [Path(path) for path in spec["keep"]])
    for target, source in spec["bind"].items():
        Path(source).mkdir(parents=True, exist_ok=True)
        Path(target).mkdir(parents=True, exist_ok=True)
        _run("mount", "--no-mtab", "--bind", source, target)
    for target, content in spec["pretend"].items():
        _pretend(target, content)
    for command in spec["network"]:
        _run(*command)
    for name, value in spec["sysctl"].items():
        Path("/proc/sys", name).write_text(value)


def _cover(folder: Path, keep: list[Path]) -> None:
    """Mount an empty file system over a folder of the host, leaving what is to be kept in sight."""
    kept = {path: os.open(path, os.O_PATH) for path in keep if path.is_relative_to(folder)}
    _run("mount", "--no-mtab", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
    for path, descriptor in kept.items():
        path.mkdir(parents=True, exist_ok=True)
        source = f"/proc/self/fd/{descriptor}"
        _run("mount", "--no-mtab", "--rbind", source, str(path), keep_open=descriptor)
        os.close(descriptor)


def _pretend(target: str, content: str) -> None:
    """Let a file of the whole machine seem to hold `content`, so that no one needs to change it."""
    source = Path("/run/pretend", target.replace("/", "_"))
    source.parent.mkdir(exist_ok=True)
    source.write_text(content)
    _run("mount", "--no-mtab", "--bind", str(source), target)


def _run(*command: str, keep_open: int | None = None) -> None:
    subprocess.run(command, check=True, pass_fds=() if keep_open is None else (keep_open,))


class _Supervisor:
    """Starts the machine's services, and starts again what ends; buries everybody's orphans."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._logs = Path(spec["logs"])
        self._running: dict[int, dict[str, Any]] = {}
        self._due: list[tuple[float, dict[str, Any]]] = [(0.0, each) for each in spec["services"]]
        self._a_child_ended, wakeup = os.pipe()
        for end in (self._a_child_ended, wakeup):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        while True:
            delay_s = self._start_due()
            if select.select([self._a_child_ended], [], [], delay_s)[0]:
                os.read(self._a_child_ended, 4096)
                self._bury()

    def _start_due(self) -> float | None:
        """Start what is due; return the seconds until something else may be, None for never."""
        now = time.monotonic()
        waiting = []
        for due, service in self._due:
            if due > now:
                waiting.append((due, service))
            elif service["after"] and not Path(service["after"]).exists():
                waiting.append((now + _AFTER_POLL_S, service))
            else:
                self._running[_start(service, self._logs)] = service
        self._due = waiting
        return min((due - now for due, _ in waiting), default=None)

    def _bury(self) -> None:
        for pid, status in iter(_ended_child, None):
            if service := self._running.pop(pid, None):
                _say_ended(service["name"], status)
                self._due.append((time.monotonic() + _RESTART_DELAY_S, service))


def _start(service: dict[str, Any], logs: Path) -> int:
    log = str(logs / f"{service['name']}.log")
    to_log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        service["command"][0],
        service["command"],
        {**os.environ, **service["environment"]},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, log, to_log, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)],
        setsid=True,
    )


def _ended_child() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _say_ended(name: str, status: int) -> None:
    moment = time.strftime("%H:%M:%S")
    code = os.waitstatus_to_exitcode(status)
    # `machine.restarts` counts these.
    print(f"{moment} {name} ended with {code}; starting it again", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
