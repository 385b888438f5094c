"""A real TCPStore server in a process of its own, that a test may kill, freeze or replace.

Run as a program, it is the process that the servers are forked from: torch is imported once only.
"""

import functools
import os
import signal
import subprocess
import sys

from etcd_server import free_ports

HOST = "127.0.0.1"


class TcpStoreServer:
    """One server on a fixed port. What it holds does not outlive it."""

    def __init__(self):
        self.port = free_ports(1)[0]
        self._pid = None

    def start(self):
        self._pid = int(_ask("start", self.port))
        return self

    def kill(self):
        if self._pid is not None:
            _ask("kill", self._pid)
            self._pid = None

    def freeze(self):
        _ask("freeze", self._pid)

    def thaw(self):
        os.kill(self._pid, signal.SIGCONT)


def _ask(*words):
    nursery = _nursery()
    print(*words, file=nursery.stdin, flush=True)
    return nursery.stdout.readline()


@functools.cache
def _nursery():
    """The process that forks the servers; it ends with this one, and all of them with it."""
    command = [sys.executable, __file__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _keep_servers():
    import torch.distributed  # noqa: F401 - once, for all that are forked

    children = set()
    for line in sys.stdin:
        command, number = line.split()
        if command == "start":
            children.add(os.fork() or _serve(int(number)))
        elif command == "freeze":
            os.kill(int(number), signal.SIGSTOP)
            os.waitpid(int(number), os.WUNTRACED)  # until all its threads have stopped
            print("frozen", flush=True)
        else:
            children.remove(int(number))
            _bury(int(number))
            print("buried", flush=True)
    for child in children:
        _bury(child)


def _serve(port):
    from torch.distributed import TCPStore

    store = TCPStore(HOST, port, is_master=True, wait_for_workers=False)
    print(os.getpid(), flush=True)
    while store:
        signal.pause()


def _bury(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


if __name__ == "__main__":
    _keep_servers()
