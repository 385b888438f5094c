"""What a round that stands costs while nothing happens: bytes, and processor time."""

from __future__ import annotations

import functools
import time
import uuid
from typing import Any, Final

from benchmarks import servers
from benchmarks.comparison import Case
from benchmarks.contenders import OURS, TORCH, Contender, Run
from benchmarks.crowd import Crowd, enter
from benchmarks.sample import Sample

_POLL_S: Final = 0.1
_PEERS_UP_TO: Final = 64
"""Of 256 torch forms no round here that could be idle."""


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of this module: both figures come from the same runs."""
    sizes, seconds = ((64,), 4.0) if quick else ((64, 256), 10.0)
    ours = {store: _sample(contender, seconds) for store, contender in OURS.items()}
    torch = _sample(TORCH, seconds)
    remark = f"over {seconds:g} s; agents ask every 0.1 s; "
    return [
        Case(
            f"idle-{name}",
            sizes,
            unit,
            {store: sample.of(name) for store, sample in ours.items()},
            {TORCH.name: torch.of(name)},
            remark=remark + more,
            peers_up_to=_PEERS_UP_TO,
        )
        for name, unit, more in (
            ("bytes", "B/s", "TCP payload, both ways"),
            ("cpu", "cores", "members and server together"),
            ("out", "members", "how many were out of the round at its end"),
        )
    ]


def _sample(contender: Contender, seconds: float) -> Sample:
    return Sample(functools.partial(watch, contender, seconds))


def watch(contender: Contender, seconds: float, n: int, limit_s: float) -> list[dict[str, float]]:
    """Let ``n`` members that stand in a round do nothing for so long."""
    with contender.serve() as server, servers.counted(server) as (proxy, counter):
        run = Run(uuid.uuid4().hex, proxy.port, n, n)
        with Crowd(functools.partial(contender.join, run), n) as crowd:
            crowd.do(enter, time.monotonic() + 0.5, limit_s=limit_s)
            time.sleep(2.0)  # what forming the round set off has come to rest
            polling = crowd.begin(ask, seconds + 1.0)
            time.sleep(0.5)  # all have begun to ask
            before = counter.total, crowd.cpu_s() + server.cpu_s()
            began = time.monotonic()
            time.sleep(seconds)  # what is measured: that nothing happens
            took_s = time.monotonic() - began
            after = counter.total, crowd.cpu_s() + server.cpu_s()
            out = crowd.collect(polling, 60)
    figures = {
        "bytes": (after[0] - before[0]) / took_s,
        "cpu": (after[1] - before[1]) / took_s,
        "out": float(sum(out)),
    }
    return [figures]


def ask(handler: Any, seconds: float) -> bool:
    """Do what an agent does all the time; return whether it is out of the round by then."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        waiting = handler.num_nodes_waiting()
        time.sleep(_POLL_S)
    return waiting > 0 or _is_purged(handler)


def _is_purged(handler: Any) -> bool:
    """Whether torch's members have taken this one out: it is told to nobody."""
    holder = getattr(handler, "_state_holder", None)
    if holder is None:
        return False
    holder.sync()
    return handler._this_node not in holder.state.participants  # noqa: SLF001
