"""A round forms: all call ``next_rendezvous`` at one moment; t is first call to last return."""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Final

from benchmarks import contenders, servers
from benchmarks.comparison import Case, Measure, NotMeasured
from benchmarks.contenders import Contender, Run
from benchmarks.crowd import Crowd, enter

_QUICK_SIZES: Final = (8, 64, 256)
_FULL_SIZES: Final = (2, 8, 32, 64, 128, 256, 512, 1024)
_QUICK_BYTES_SIZES: Final = (8, 64)
_BYTES_SIZES: Final = (8, 32, 128, 256, 512)
_QUICK_PEERS_UP_TO: Final = 64
_BYTES_PEERS_UP_TO: Final = 128
_LEGACY_UP_TO: Final = 64
_BOUNDS: Final = {"etcd": contenders.WATCH, "c10d": contenders.COUNTER}


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of this module."""
    torchs = [contenders.TORCH, contenders.TORCH_NO_INSPECT]
    on_etcd_v2 = [] if quick else [contenders.TORCH_ETCD_V2]
    legacy = {} if quick else {contenders.TORCH_ETCD_LEGACY.name: _few}
    sizes = _QUICK_SIZES if quick else _FULL_SIZES
    up_to = _QUICK_PEERS_UP_TO if quick else max(sizes)
    return [
        Case(
            "formation",
            sizes,
            "s",
            _measured(contenders.OURS, seconds),
            {**_measured(_named([*torchs, *on_etcd_v2]), seconds), **legacy},
            {store: (bound.name, seconds(bound)) for store, bound in _BOUNDS.items()},
            peers_up_to=up_to,
        ),
        Case(
            "formation-bytes",
            _QUICK_BYTES_SIZES if quick else _BYTES_SIZES,
            "B",
            _measured(contenders.OURS, transferred),
            _measured(_named(torchs[1:]), transferred),
            remark="TCP payload both ways, of all members together",
            peers_up_to=min(up_to, _BYTES_PEERS_UP_TO),
        ),
    ]


def _named(those: list[Contender]) -> dict[str, Contender]:
    return {contender.name: contender for contender in those}


def _measured(
    those: Mapping[str, Contender], measure: Callable[[Contender], Measure]
) -> dict[str, Measure]:
    return {name: measure(contender) for name, contender in those.items()}


def _few(n: int, limit_s: float) -> float:
    """Measure torch's oldest handler, which does nothing but wait for long where there are many."""
    if n > _LEGACY_UP_TO:
        raise NotMeasured(f"not measured beyond {_LEGACY_UP_TO} members")
    return seconds(contenders.TORCH_ETCD_LEGACY)(n, limit_s)


def seconds(contender: Contender) -> Measure:
    """Measure how long it takes until a round stands."""

    def measure(n: int, limit_s: float) -> float:
        with contender.serve() as server:
            return form(contender, server, n, limit_s)

    return measure


def transferred(contender: Contender) -> Measure:
    """Measure how many bytes it takes, through the counting proxy."""

    def measure(n: int, limit_s: float) -> float:
        with contender.serve() as server, servers.counted(server) as (proxy, counter):
            form(contender, proxy, n, limit_s)
            return float(counter.total)

    return measure


def form(contender: Contender, server: servers.Server, n: int, limit_s: float) -> float:
    """Form one round of ``n`` in new processes; return how long it took, in seconds."""
    run = Run(uuid.uuid4().hex, server.port, n, n)
    with Crowd(functools.partial(contender.join, run), n) as crowd:
        return crowd_forms(crowd, limit_s)


def crowd_forms(crowd: Crowd, limit_s: float) -> float:
    """Have all of a crowd form one round; return how long it took, in seconds."""
    lead_s = 0.2 + 0.001 * crowd.n  # so that all threads are there when it begins
    at = time.monotonic() + lead_s
    spans = crowd.do(enter, at, limit_s=limit_s + lead_s)
    return float(max(end for _, end in spans) - min(start for start, _ in spans))
