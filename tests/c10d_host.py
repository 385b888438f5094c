"""A real host of a TCPStore with its bridge, as a process, and what an operator says to it."""

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

import stores
from etcd_server import free_ports

from rdzv_client import wire

TOKEN = "a-token-that-only-the-operator-knows"
LIMIT_S = 60.0


class Host:
    """The process; it keeps its ports when it is replaced."""

    def __init__(self, folder, seed_wait_s=LIMIT_S):
        self.port, self.bridge_port = free_ports(2)
        self.log = folder / "host.log"
        token = folder / "token"
        token.write_text(f"{TOKEN}\n")
        self.command = self.program(
            *(f"--token-file={token}", f"--seed-wait={seed_wait_s}"),
            *(f"--port={self.port}", f"--bridge-port={self.bridge_port}"),
        )
        self._process = None

    @staticmethod
    def program(*arguments):
        return [sys.executable, "-m", "rdzv_client.c10d_host", *arguments]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.bridge_port}"

    def start(self):
        with self.log.open("a") as log:
            self._process = subprocess.Popen(self.command, stderr=log)
        ends_at = time.monotonic() + LIMIT_S
        while not self.answers():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < ends_at, "the host does not answer"
            time.sleep(0.05)
        return self

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        """Ask it to end; return its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(LIMIT_S)

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def answers(self):
        with contextlib.suppress(OSError):
            return self.ask("/healthz", token=None)[0] == 200
        return False

    def is_ready(self):
        return self.ask("/readyz", token=None)[0] == 200

    def ask(self, path, body=None, *, token=TOKEN, method=None, **headers):
        """Return the status and the text of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.bridge_port, timeout=LIMIT_S)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        with contextlib.closing(connection):
            method = method or ("GET" if body is None else "POST")
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def write(self, keys, documents):
        body = json.dumps({key: wire.encode(value).decode() for key, value in documents.items()})
        assert self.ask(run_path(keys), body) == (200, "written\n")

    def listing(self, keys, after=0):
        status, text = self.ask(f"{run_path(keys)}?after={after}")
        assert status == 200, text
        return json.loads(text)


def run_path(keys):
    return f"/v1/runs/{urllib.parse.quote(keys.run_id)}"


class Feed:
    """Reads the feed of a run on a thread of its own."""

    def __init__(self, host, keys):
        self.keys, self.documents, self.phases = keys, {}, []
        self._changed, self.ended = threading.Condition(), False
        self._connection = http.client.HTTPConnection("127.0.0.1", host.bridge_port)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self._connection.request("GET", f"{run_path(keys)}/feed", headers=headers)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        threading.Thread(target=self._read, daemon=True).start()

    def close(self):
        self._connection.close()

    def _read(self):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            for line in self._answer:
                self._take(json.loads(line).get("documents", {}))
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def _take(self, documents):
        with self._changed:
            self.documents.update(documents)
            self.documents = {k: v for k, v in self.documents.items() if v is not None}
            if documents.get(self.keys.round):
                self.phases.append((self.round.number, self.round.phase))
            self._changed.notify_all()

    def until(self, holds):
        with self._changed:
            assert self._changed.wait_for(holds, LIMIT_S), f"in vain; told {self.documents}"

    @property
    def round(self):
        text = self.documents.get(self.keys.round)
        return text and wire.decode(wire.Round, self.keys.round, text.encode())

    def all(self, kind, prefix):
        """Return the documents under a prefix."""
        found = [(key, text) for key, text in self.documents.items() if key.startswith(prefix)]
        return [wire.decode(kind, key, text.encode()) for key, text in found]

    @property
    def members(self):
        return sorted(member.name for member in self.all(wire.Member, self.keys.members))

    @property
    def ranks(self):
        ranks = self.all(wire.Rank, self.keys.ranks)
        return [rank.name for rank in sorted(ranks, key=lambda rank: rank.rank)]


class HostedRuns(stores.C10dRuns):
    """Runs in the store of a host, to whom the operator speaks over the bridge."""

    def __init__(self, host):
        self.host = self.server = host

    def settle(self, keys, settings):
        self.host.write(keys, {keys.settings: settings})

    def gone(self, keys, record, reason):
        self.host.write(keys, {keys.gone(record.uid): wire.Gone(record.uid, reason)})

    def drain(self, keys, record, reason):
        self.host.write(keys, {keys.drain(record.uid): wire.Drain(record.uid, reason)})

    def site(self, keys, site):
        self.host.write(keys, {keys.site(site.node): site})
