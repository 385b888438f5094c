"""Who is compared: how each runs its server, and how one of its members is made.

A member is made, and connected where its maker connects it, before anything is measured.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from benchmarks import servers
from benchmarks.comparison import NotMeasured
from benchmarks.operators import OnEtcd, OnTcpStore, Operator
from benchmarks.servers import HOST, Server

# What is imported before the processes are forked, so that they share it.
with contextlib.suppress(ImportError):
    import torch.distributed.elastic.rendezvous.c10d_rendezvous_backend
    import torch.distributed.elastic.rendezvous.dynamic_rendezvous
    import torch.distributed.elastic.rendezvous.registry  # noqa: F401


@dataclass(frozen=True)
class Run:
    """One run of members.

    Attributes:
        run_id: Its id.
        port: Where its store listens.
        low: Least nodes.
        high: Most nodes.
        last_call_s: How long a round with enough members waits for more.
        admission_s: How long newcomers gather (ours alone).
    """

    run_id: str
    port: int
    low: int
    high: int
    last_call_s: float = 30.0
    admission_s: float = 3.0


@dataclass(frozen=True)
class Contender:
    """One who takes part.

    Attributes:
        name: For the results.
        serve: Runs its server.
        join: Makes the member with an index.
        operator: Who can speak to its runs, if anybody can.
    """

    name: str
    serve: Callable[[], contextlib.AbstractContextManager[Server]]
    join: Callable[[Run, int], Any]
    operator: Operator | None = None


# --- ours ---------------------------------------------------------------------------------------


def member_uid(run: Run, index: int) -> str:
    """The UID of a member of ours, for whoever speaks of it as an operator does."""
    return f"{run.run_id}-{index}"


def _ours_on_etcd(run: Run, index: int) -> Any:
    from rdzv_client import etcdv3, options, wire  # noqa: PLC0415
    from rdzv_client.backends.etcd import EtcdBackend  # noqa: PLC0415
    from rdzv_client.handler import ProtocolHandler  # noqa: PLC0415
    from rdzv_client.session import Session  # noqa: PLC0415

    chosen = options.parse(_options(run))
    uid = member_uid(run, index)
    record = wire.Member(
        id=f"{uid}.0",
        uid=uid,
        slot=index,
        name=uid,
        node="node",
        addr=HOST,
        min_nodes=run.low,
        max_nodes=run.high,
    )
    keys = wire.Keys(run.run_id)
    client = etcdv3.Client([f"http://{HOST}:{run.port}"], request_timeout_s=30)
    backend = EtcdBackend(client, keys, record.id, record.slot, chosen.lease_ttl)
    session = Session(backend, keys, record, chosen.timing)
    return ProtocolHandler("k8s", run.run_id, session, chosen)


def _ours_on_c10d(run: Run, index: int) -> Any:
    try:
        from rdzv_client import c10d_rendezvous_backend  # noqa: F401, PLC0415
    except ImportError:
        raise NotMeasured("this version has no backend on a TCPStore") from None
    from rdzv_client import api, plugins  # noqa: PLC0415

    # The identity of a pod, so that an operator's words about it can be measured.
    uid = member_uid(run, index)
    os.environ.update(RDZV_POD_UID=uid, RDZV_POD_NAME=uid, RDZV_SLOT=str(index))
    params = api.RendezvousParameters(
        "c10d-v2",
        f"{HOST}:{run.port}",
        run.run_id,
        run.low,
        run.high,
        local_addr=HOST,
        is_host=False,
        **_options(run),
    )
    return plugins.create_c10d_handler(params)


def _options(run: Run) -> dict[str, Any]:
    return {
        "last_call_timeout": run.last_call_s,
        "admission_window": run.admission_s,
        "read_timeout": 30,
    }


# --- torch --------------------------------------------------------------------------------------


def _torch_c10d(run: Run, _index: int) -> Any:
    from torch.distributed import TCPStore  # noqa: PLC0415
    from torch.distributed.elastic.rendezvous import c10d_rendezvous_backend as c10d  # noqa: PLC0415

    store = TCPStore(HOST, run.port, is_master=False, wait_for_workers=False)
    return _torch_handler(run, store, c10d.C10dRendezvousBackend(store, run.run_id))


def _torch_c10d_no_inspect(run: Run, index: int) -> Any:
    """The same without the two looks at the stack that each of its records takes."""
    from torch.distributed.elastic.rendezvous import dynamic_rendezvous  # noqa: PLC0415

    dynamic_rendezvous.get_method_name = lambda depth=2: str(depth)
    return _torch_c10d(run, index)


def _torch_etcd_v2(run: Run, _index: int) -> Any:
    try:
        import etcd  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError:
        raise NotMeasured("the package python-etcd is not installed") from None
    from torch.distributed.elastic.rendezvous import etcd_rendezvous_backend as v2  # noqa: PLC0415
    from torch.distributed.elastic.rendezvous.etcd_store import EtcdStore  # noqa: PLC0415

    client = etcd.Client(host=HOST, port=run.port, read_timeout=60)
    backend = v2.EtcdRendezvousBackend(client, run.run_id, key_prefix="/torch/elastic/rendezvous")
    return _torch_handler(run, EtcdStore(client, "/torch/elastic/store"), backend)


def _torch_etcd_legacy(run: Run, _index: int) -> Any:
    try:
        import etcd  # noqa: F401, PLC0415
    except ImportError:
        raise NotMeasured("the package python-etcd is not installed") from None
    from torch.distributed.elastic.rendezvous import RendezvousParameters  # noqa: PLC0415
    from torch.distributed.elastic.rendezvous import etcd_rendezvous as legacy  # noqa: PLC0415

    where = f"{HOST}:{run.port}"
    params = RendezvousParameters("etcd", where, run.run_id, run.low, run.high)
    return legacy.create_rdzv_handler(params)


def _torch_handler(run: Run, store: Any, backend: Any) -> Any:
    from torch.distributed.elastic.rendezvous import dynamic_rendezvous  # noqa: PLC0415

    return dynamic_rendezvous.DynamicRendezvousHandler.from_backend(
        run.run_id,
        store,
        backend,
        run.low,
        run.high,
        HOST,
        dynamic_rendezvous.RendezvousTimeout(last_call=timedelta(seconds=run.last_call_s)),
    )


# --- lower bounds -------------------------------------------------------------------------------


class CounterBound:
    """The least that forms a round on a TCPStore: who writes last collects; nobody is watched."""

    def __init__(self, run: Run, index: int) -> None:
        from torch.distributed import TCPStore  # noqa: PLC0415

        self._store = TCPStore(HOST, run.port, is_master=False, wait_for_workers=False)
        self._n, self._index = run.high, index

    def next_rendezvous(self) -> None:
        """Write, count, and wait for what the last one has collected."""
        store = self._store
        store.set(f"slot/{self._index}", f"{HOST}:{self._index:05d}:{'x' * 25}")
        if store.add("written", 1) == self._n:
            slots = store.multi_get([f"slot/{i}" for i in range(self._n)])
            store.set("complete", b"\n".join(slots))
        store.get("complete")


class WatchBound:
    """The least that forms a round on etcd: a put, a watch, and one who lists; no leases.

    The watches are open before the time is taken. The first member's process lists in addition.
    """

    def __init__(self, run: Run, index: int) -> None:
        from rdzv_client import etcdv3  # noqa: PLC0415
        from rdzv_client.etcdv3 import messages  # noqa: PLC0415

        self._client = etcdv3.Client([f"http://{HOST}:{run.port}"], request_timeout_s=30)
        self._index, self._n = index, run.high
        self._watch = self._client.watch([messages.one("/complete")])
        next(self._watch)
        if index == 0:
            members = self._client.watch([messages.prefix("/m/")])
            next(members)
            threading.Thread(target=self._coordinate, args=(members,), daemon=True).start()

    def _coordinate(self, members: Any) -> None:
        seen: dict[str, bytes] = {}
        for batch in members:
            seen.update((event.kv.key, event.kv.value) for event in batch.events)
            if len(seen) == self._n:
                self._client.put("/complete", b"\n".join(seen.values()))
                return

    def next_rendezvous(self) -> None:
        """Write, and wait until the list is there."""
        value = f"{HOST}:{self._index:05d}:{'x' * 25}".encode()
        self._client.put(f"/m/{self._index}", value)
        while not next(self._watch).events:
            pass


OURS_ON_ETCD: Final = Contender("ours on etcd", servers.etcd, _ours_on_etcd, OnEtcd())
OURS_ON_C10D: Final = Contender(
    "ours on a TCPStore", servers.tcp_store, _ours_on_c10d, OnTcpStore()
)
OURS: Final = {"etcd": OURS_ON_ETCD, "c10d": OURS_ON_C10D}
TORCH: Final = Contender("torch c10d", servers.tcp_store, _torch_c10d)
TORCH_NO_INSPECT: Final = Contender(
    "torch c10d no-inspect", servers.tcp_store, _torch_c10d_no_inspect
)
TORCH_ETCD_V2: Final = Contender("torch etcd-v2", servers.etcd_v2, _torch_etcd_v2)
TORCH_ETCD_LEGACY: Final = Contender("torch etcd", servers.etcd_v2, _torch_etcd_legacy)
COUNTER: Final = Contender("bound: counter on TCPStore", servers.tcp_store, CounterBound)
WATCH: Final = Contender("bound: put + watch on etcd", servers.etcd, WatchBound)
