"""What a round that stands costs while nothing happens: bytes, and processor time."""

from __future__ import annotations

import functools
import time
import uuid
from collections import defaultdict, deque
from typing import Any, Final

from benchmarks import servers
from benchmarks.comparison import Case, Measure
from benchmarks.contenders import OURS, TORCH, Contender, Run
from benchmarks.crowd import Crowd, enter

_POLL_S: Final = 0.1


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of this module: both figures come from the same runs."""
    sizes = (64,) if quick else (64, 256)
    seconds = 5.0 if quick else 15.0
    found = []
    for store in ("etcd", "c10d"):
        ours, torch = _Idle(OURS[store], seconds), _Idle(TORCH, seconds)
        for name, unit, figure in (("bytes", "B/s", 0), ("cpu", "cores", 1)):
            found.append(
                Case(
                    f"idle-{name}/{store}",
                    sizes,
                    unit,
                    ours.measures(figure),
                    {} if quick and store == "etcd" else {TORCH.name: torch.measures(figure)},
                    remark=f"over {seconds:g} s; agents ask every 0.1 s"
                    + ("; members and server together" if figure else "; TCP payload, both ways"),
                )
            )
    return found


class _Idle:
    """Measures bytes and processor time at once; each figure of a run is given out once."""

    def __init__(self, contender: Contender, seconds: float) -> None:
        self._contender, self._seconds = contender, seconds
        self._there: dict[tuple[int, int], deque[float]] = defaultdict(deque)

    def measures(self, figure: int) -> Measure:
        def measure(n: int, limit_s: float) -> float:
            if not self._there[n, figure]:
                for i, value in enumerate(self._watch(n, limit_s)):
                    self._there[n, i].append(value)
            return self._there[n, figure].popleft()

        return measure

    def _watch(self, n: int, limit_s: float) -> tuple[float, float]:
        with self._contender.serve() as server, servers.counted(server) as (proxy, counter):
            run = Run(uuid.uuid4().hex, proxy.port, n, n)
            with Crowd(functools.partial(self._contender.join, run), n) as crowd:
                crowd.do(enter, time.monotonic() + 0.5, limit_s=limit_s)
                time.sleep(2.0)  # what forming the round set off has come to rest
                polling = crowd.begin(ask, self._seconds + 1.0)
                time.sleep(0.5)  # all have begun to ask
                before = counter.total, crowd.cpu_s() + server.cpu_s()
                began = time.monotonic()
                time.sleep(self._seconds)  # what is measured: that nothing happens
                took_s = time.monotonic() - began
                after = counter.total, crowd.cpu_s() + server.cpu_s()
                crowd.collect(polling, 60)
        return (after[0] - before[0]) / took_s, (after[1] - before[1]) / took_s


def ask(handler: Any, seconds: float) -> None:
    """Do what an agent does all the time."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        handler.num_nodes_waiting()
        time.sleep(_POLL_S)
