"""Where the agents of a job meet, each kind with what may happen to it."""

from __future__ import annotations

import base64
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from tests.etcd_server import Etcd, free_ports


class Place(Protocol):
    """A store as the situations see it."""

    endpoint: str
    in_agent: bool  # the first agent is its host

    def freeze(self) -> None:
        """Stop it, so that it answers nobody and refuses nobody."""

    def thaw(self) -> None:
        """Let it go on."""

    def lose(self) -> None:
        """Kill it with all its data."""

    def replace(self) -> None:
        """Start an empty one at the same address."""

    def poison(self, run_id: str, value: bytes) -> int:
        """Replace all that stands in it under a run; return how many values that were."""

    def everlasting(self, run_id: str) -> int:
        """Return how many keys of a run will stand in it for ever if nobody deletes them."""


class InFirstAgent(AbstractContextManager["InFirstAgent"]):
    """A TCPStore in the process of whichever agent comes first."""

    in_agent = True

    def __init__(self) -> None:
        self.endpoint = f"127.0.0.1:{free_ports(1)[0]}"

    def __exit__(self, *_: object) -> None:
        """Nothing is left of it: it ends with its agent."""


class TcpStore(AbstractContextManager["TcpStore"]):
    """A TCPStore in a process of its own."""

    in_agent = False

    def __init__(self) -> None:
        self._port = free_ports(1)[0]
        self.endpoint = f"127.0.0.1:{self._port}"
        self.replace()

    def __exit__(self, *_: object) -> None:
        self.lose()

    def freeze(self) -> None:
        self._process.send_signal(19)

    def thaw(self) -> None:
        self._process.send_signal(18)

    def lose(self) -> None:
        self._process.kill()
        self._process.communicate()

    def replace(self) -> None:
        command = [sys.executable, "-m", "benchmarks.scoreboard.tcp_store", str(self._port)]
        # What it says of clients that break off, or of values that are none, is no news here.
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout
        self._process.stdout.readline()

    def poison(self, run_id: str, value: bytes) -> int:
        from torch.distributed import TCPStore  # noqa: PLC0415 - takes seconds

        store = TCPStore("127.0.0.1", self._port, is_master=False)
        keys = [key for key in store.list_keys() if run_id in key]
        for key in keys:
            # torch's rendezvous keeps its state in base64.
            torchs = key.endswith(f"torch.rendezvous.{run_id}")
            store.set(key, base64.b64encode(value) if torchs else value)
        return len(keys)

    def everlasting(self, _run_id: str) -> int:
        return 0  # they end with the process


class EtcdStore(AbstractContextManager["EtcdStore"]):
    """An etcd."""

    in_agent = False

    def __init__(self, folder: Path) -> None:
        self.server = Etcd(folder).start()
        self.endpoint = f"127.0.0.1:{self.server.port}"

    def __exit__(self, *_: object) -> None:
        self.server.kill()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    def lose(self) -> None:
        self.server.empty(token="second")  # noqa: S106 - names the cluster

    def replace(self) -> None:
        self.server.start()

    def poison(self, run_id: str, value: bytes) -> int:
        kvs = self._kvs(run_id)
        for kv in kvs:
            encoded = base64.b64encode(value).decode()
            document = {"key": kv["key"], "value": encoded, "ignore_lease": True}
            self.server.call("/v3/kv/put", document)
        return len(kvs)

    def everlasting(self, run_id: str) -> int:
        return sum(1 for kv in self._kvs(run_id) if not int(kv.get("lease", "0")))

    def _kvs(self, run_id: str) -> list[dict[str, str]]:
        everything = {"key": "AA==", "range_end": "AA=="}
        found = self.server.call("/v3/kv/range", everything).get("kvs", [])
        return [kv for kv in found if run_id in base64.b64decode(kv["key"]).decode()]
