"""Processes of this machine, seen from outside of the containers and machines they run in."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path


def child(parent, name):
    """The PID of the parent's child of this name."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return next(int(pid) for pid in children if name == _name(pid))


def of_pod(pod, **variables):
    """The PIDs of what runs in the pod and has these variables in its environment."""
    wanted = {f"{name}={value}" for name, value in {"HOSTNAME": pod, **variables}.items()}
    return [pid for pid in _pids() if wanted <= _environment(pid)]


def worker_of(pod):
    """The PID of the process that trains in the pod of a single one."""
    (worker,) = of_pod(pod, LOCAL_RANK=0)
    return worker


@contextmanager
def stopped(pid):
    """Within this the process stands still, and hears nobody."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _name(pid):
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _pids():
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _environment(pid):
    try:
        return set(Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0"))
    except OSError:  # it has ended by now
        return set()
