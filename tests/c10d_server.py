"""A real TCPStore server in a process of its own, that a test may kill, freeze or replace.

Run as a program, it is the process that the servers are forked from: torch is imported once only.
"""

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
        self._nursery = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self):
        self._pid = int(self._ask("start", self.port))
        return self

    def kill(self):
        if self._pid is not None:
            self._ask("kill", self._pid)
            self._pid = None

    def freeze(self):
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self._pid, signal.SIGCONT)

    def close(self):
        self.kill()
        self._nursery.stdin.close()
        self._nursery.wait()
        self._nursery.stdout.close()

    def _ask(self, *words):
        print(*words, file=self._nursery.stdin, flush=True)
        return self._nursery.stdout.readline()


def _serve(port):
    from torch.distributed import TCPStore

    store = TCPStore(HOST, port, is_master=True, wait_for_workers=False)
    print(os.getpid(), flush=True)
    while store:
        signal.pause()


def _keep_servers():
    import torch.distributed  # noqa: F401 - once, for all that are forked

    child = None
    for line in sys.stdin:
        command, number = line.split()
        if command == "start":
            child = os.fork() or _serve(int(number))
        else:
            _bury(int(number))
            child = None
    if child:
        _bury(child)


def _bury(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("buried", flush=True)


if __name__ == "__main__":
    _keep_servers()
