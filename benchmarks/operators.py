"""What an operator says to a run of ours, on either store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from benchmarks.servers import HOST
from rdzv_client import wire


class Operator(Protocol):
    """Speaks to a run, given by its id and the port of its store."""

    def expect(self, run_id: str, port: int, bounds: tuple[int, int], nodes: int) -> None:
        """Say how many nodes there should be within seconds."""

    def declare_gone(self, run_id: str, port: int, uid: str, slot: int) -> None:
        """Say that a pod will never come back."""


class OnEtcd:
    """To a run in etcd."""

    def expect(self, run_id: str, port: int, bounds: tuple[int, int], nodes: int) -> None:
        settings = wire.Settings(nodes, *bounds, nodes)
        self._client(port).put(wire.Keys(run_id).settings, wire.encode(settings))

    def declare_gone(self, run_id: str, port: int, uid: str, slot: int) -> None:
        from rdzv_client.etcdv3 import messages  # noqa: PLC0415

        keys = wire.Keys(run_id)
        gone = messages.put(keys.gone(uid), wire.encode(wire.Gone(uid, "the pod was deleted")))
        self._client(port).txn([], [gone, messages.delete_prefix(keys.slot(slot))])

    @staticmethod
    def _client(port: int) -> Any:
        from rdzv_client import etcdv3  # noqa: PLC0415

        return etcdv3.Client([f"http://{HOST}:{port}"])


class OnTcpStore:
    """To a run in a TCPStore."""

    def expect(self, run_id: str, port: int, bounds: tuple[int, int], nodes: int) -> None:
        from rdzv_client.backends.c10d import operators  # noqa: PLC0415

        settings = wire.Settings(nodes, *bounds, nodes)
        operators.write_settings(self._store(port), wire.Keys(run_id), settings)

    def declare_gone(self, run_id: str, port: int, uid: str, slot: int) -> None:  # noqa: ARG002
        from rdzv_client.backends.c10d import operators  # noqa: PLC0415

        gone = wire.Gone(uid, "the pod was deleted")
        operators.declare_gone(self._store(port), wire.Keys(run_id), gone)

    @staticmethod
    def _store(port: int) -> Any:
        from torch.distributed import TCPStore  # noqa: PLC0415

        return TCPStore(HOST, port, is_master=False, wait_for_workers=False)


def say(_handler: Any, word: Callable[..., None], *args: Any) -> None:
    """Have an operator's word said in a participant's process: the measuring one stays bare."""
    word(*args)
