"""Operations per second of the stores that training scripts use directly."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import servers
from benchmarks.comparison import Case, Measure, NotMeasured, alone
from benchmarks.contenders import Contender
from benchmarks.crowd import Crowd
from benchmarks.servers import HOST

_CLIENTS: Final = (1, 64)
_VALUE: Final = b"sixteen bytes ok"


@dataclass(frozen=True)
class Client:
    """One client of a store, with its number among them."""

    store: Any
    index: int


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of this module."""
    seconds = 0.5 if quick else 1.0
    kinds: tuple[tuple[str, Callable[..., float], int], ...] = (
        ("set", set_own, 0),
        ("get", get_own, 0),
        ("add", add_own, 0),
        ("get-of-1000-keys", get_own, 1000),
    )
    return [
        _case(f"store-ops/etcd-{name}", seconds, action, others) for name, action, others in kinds
    ]


def _case(name: str, seconds: float, action: Callable[..., float], others: int) -> Case:
    def of(contender: Contender) -> Measure:
        return functools.partial(_measure, contender, action, others, seconds)

    peers = {peer.name: of(peer) for peer in (_TORCHS, _TCP_STORE)}
    remark = f"{seconds:g} s each; values of 16 bytes; n clients in at most 8 processes"
    if action is set_own:
        remark += "; TCPStore's set waits for no answer"
    ours = alone(of(_OURS))
    return Case(name, _CLIENTS, "1/s", ours, peers, more_is_better=True, remark=remark)


def _measure(  # noqa: PLR0917 - bound from the left, one by one
    contender: Contender,
    action: Callable[..., float],
    others: int,
    seconds: float,
    n: int,
    limit_s: float,
) -> float:
    """Have n clients do something for so long; return how often a second, all together."""
    with contender.serve() as server:
        make = functools.partial(_client, contender, server.port)
        with Crowd(make, n, processes=min(n, 8)) as crowd:
            crowd.do(prepare, limit_s=limit_s)
            crowd.do(fill, others, limit_s=limit_s, members=[0])
            rates = crowd.do(action, seconds, limit_s=limit_s + seconds)
            return float(sum(rates))


def _client(contender: Contender, port: int, index: int) -> Client:
    return Client(contender.join(port, index), index)  # type: ignore[arg-type]


# --- what clients do ----------------------------------------------------------------------------


def prepare(client: Client) -> None:
    """Connect, and write what is read later."""
    client.store.set(f"own/{client.index}", _VALUE)
    client.store.add(f"count/{client.index}", 1)


def fill(client: Client, keys: int) -> None:
    """Write other keys."""
    for i in range(keys):
        client.store.set(f"other/{i}", _VALUE)


def set_own(client: Client, seconds: float) -> float:
    """Write one key again and again; return how often a second."""
    return _rate(lambda: client.store.set(f"own/{client.index}", _VALUE), seconds)


def get_own(client: Client, seconds: float) -> float:
    """Read one key again and again; return how often a second."""
    return _rate(lambda: client.store.get(f"own/{client.index}"), seconds)


def add_own(client: Client, seconds: float) -> float:
    """Count with a counter of its own; return how often a second."""
    return _rate(lambda: client.store.add(f"count/{client.index}", 1), seconds)


def _rate(act: Callable[[], Any], seconds: float) -> float:
    began = time.monotonic()
    done = 0
    while time.monotonic() - began < seconds:
        act()
        done += 1
    return done / (time.monotonic() - began)


# --- whose stores -------------------------------------------------------------------------------


def _our_store(port: Any, _index: int) -> Any:
    from rdzv_client import etcdv3  # noqa: PLC0415
    from rdzv_client.etcd_store import EtcdStore  # noqa: PLC0415

    return EtcdStore(etcdv3.Client([f"http://{HOST}:{port}"], request_timeout_s=30), "/bench")


def _torchs_store(port: Any, _index: int) -> Any:
    try:
        import etcd  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError:
        raise NotMeasured("the package python-etcd is not installed") from None
    from torch.distributed.elastic.rendezvous.etcd_store import EtcdStore  # noqa: PLC0415

    return EtcdStore(etcd.Client(host=HOST, port=port, read_timeout=60), "/bench/")


def _tcp_store(port: Any, _index: int) -> Any:
    from torch.distributed import TCPStore  # noqa: PLC0415

    return TCPStore(HOST, port, is_master=False, wait_for_workers=False)


_OURS: Final = Contender("ours", servers.etcd, _our_store)
_TORCHS: Final = Contender("torch EtcdStore", servers.etcd_v2, _torchs_store)
_TCP_STORE: Final = Contender("TCPStore", servers.tcp_store, _tcp_store)
