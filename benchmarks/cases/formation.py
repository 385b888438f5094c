"""A round forms: all call ``next_rendezvous`` at one moment; t is first call to last return."""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Callable
from typing import Final

from benchmarks import contenders, servers
from benchmarks.comparison import Case, Measure
from benchmarks.contenders import Contender, Run
from benchmarks.crowd import Crowd, enter

_QUICK_SIZES: Final = (2, 8, 32, 64, 128, 256)
_FULL_SIZES: Final = (*_QUICK_SIZES, 512, 1024)
_BYTES_SIZES: Final = (8, 32, 128, 256)
_QUICK_PEERS_UP_TO: Final = 64
_BOUNDS: Final = {"etcd": contenders.WATCH, "c10d": contenders.COUNTER}


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of this module."""
    sizes = _QUICK_SIZES if quick else _FULL_SIZES
    up_to = _QUICK_PEERS_UP_TO if quick else max(sizes)
    torchs = [contenders.TORCH, contenders.TORCH_NO_INSPECT]
    found = []
    for store, ours in contenders.OURS.items():
        # The quick run has torch beside one of the two only: each of its rounds takes a second.
        peers = torchs if not quick or store == "c10d" else []
        bound = [_BOUNDS[store]]
        others = [contenders.TORCH_ETCD_V2] if store == "etcd" and not quick else []
        found += [
            Case(
                f"formation/{store}",
                sizes,
                "s",
                seconds(ours),
                _measured([*peers, *others, *bound], seconds),
                peers_up_to=up_to,
            ),
            Case(
                f"formation-bytes/{store}",
                _BYTES_SIZES,
                "B",
                transferred(ours),
                _measured(peers[1:], transferred),
                remark="TCP payload both ways, of all members together",
                peers_up_to=up_to,
            ),
        ]
    return found


def _measured(
    those: list[Contender], measure: Callable[[Contender], Measure]
) -> dict[str, Measure]:
    return {contender.name: measure(contender) for contender in those}


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
