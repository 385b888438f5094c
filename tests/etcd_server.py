"""A real etcd process that a test may kill, freeze, empty or ask anything."""

import base64
import contextlib
import functools
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from localcluster import binaries

START_LIMIT_S = 20.0
PORTS = range(16_000, 30_000)
"""Below those that systems give to the connections they open, and to NodePorts."""


def program():
    """The etcd under test: the one that ELASTICJOB_ETCD names, else the local cluster's."""
    return os.environ.get("ELASTICJOB_ETCD") or str(binaries.ensure(["etcd"])["etcd"])


@functools.cache
def version():
    """Its version, such as (3, 7)."""
    said = subprocess.run([program(), "--version"], check=True, capture_output=True, text=True)
    return tuple(map(int, re.search(r"etcd Version: (\d+)\.(\d+)", said.stdout).groups()))


def free_ports(count):
    """Ports that stay free while a server is away: no connection gets one as its own end."""
    found = []
    with contextlib.ExitStack() as stack:
        while len(found) < count:
            port = random.SystemRandom().choice(PORTS)
            with contextlib.suppress(OSError):  # another has it
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
    return found


class Etcd:
    """One etcd process on a fixed port: started, killed, frozen, emptied as a test likes.

    It is reached at ``host``, and listens there or at ``listens``.
    """

    def __init__(self, folder, *, flags=(), tls=None, host="127.0.0.1", listens=None):
        self.folder = folder
        self.tls = tls
        self.token = "first"
        self.port, self._peer_port = free_ports(2)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://{host}:{self.port}"
        self._listens = f"{scheme}://{listens or host}:{self.port}"
        self._flags = list(flags)
        self._process = None

    def start(self):
        peer = f"http://127.0.0.1:{self._peer_port}"
        command = [
            program(),
            f"--data-dir={self.folder / 'data'}",
            f"--listen-client-urls={self._listens}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            f"--initial-cluster-token={self.token}",
            "--heartbeat-interval=10",  # a short election makes leases of one second possible
            "--election-timeout=100",
            "--unsafe-no-fsync",
            "--bcrypt-cost=4",  # fast, not safe
            "--log-level=error",
            *self._flags,
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait_until_healthy()
        return self

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self):
        self.kill()
        self.start()

    def empty(self, *, token="first"):
        """Kill it and lose its data; with another token the next start is another cluster."""
        self.kill()
        shutil.rmtree(self.folder / "data")
        self.token = token

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # until all its threads have stopped

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def call(self, path, body, token=None):
        """Ask for something that the client has no method for."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=5, context=self._context()) as answer:
            return json.load(answer)

    def ask_for_passwords(self, prefix):
        """Let in only ``root``, and ``job``, who may use what begins with the prefix."""
        for user in ("root", "job"):
            self.call("/v3/auth/user/add", {"name": user, "password": f"{user}-secret"})
            self.call("/v3/auth/role/add", {"name": user})
            self.call("/v3/auth/user/grant", {"user": user, "role": user})
        first, last = prefix.encode(), prefix[:-1].encode() + bytes([ord(prefix[-1]) + 1])
        permission = {"permType": "READWRITE", "key": b64(first), "range_end": b64(last)}
        self.call("/v3/auth/role/grant", {"name": "job", "perm": permission})
        self.call("/v3/auth/enable", {})

    def compact(self, revision):
        self.call("/v3/kv/compaction", {"revision": str(revision), "physical": True})

    def _context(self):
        if self.tls is None:
            return None
        context = ssl.create_default_context(cafile=self.tls.ca)
        context.load_cert_chain(self.tls.cert, self.tls.key)
        return context

    def _wait_until_healthy(self):
        deadline_s = time.monotonic() + START_LIMIT_S
        while True:
            try:
                with urllib.request.urlopen(
                    self.url + "/health", timeout=2, context=self._context()
                ):
                    return
            except (urllib.error.URLError, OSError):
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline_s, "etcd does not become healthy"
                time.sleep(0.02)  # a process that is starting offers nothing to wait on


def b64(value):
    return base64.b64encode(value).decode()
