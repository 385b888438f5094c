"""What happens to a round that stands: somebody comes, dies, leaves; and the next round."""

from __future__ import annotations

import contextlib
import functools
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks.comparison import Case, Measure, NotMeasured
from benchmarks.contenders import OURS, TORCH, Contender, Run, member_uid
from benchmarks.crowd import Crowd, be_told, be_told_and_enter, enter
from benchmarks.operators import say

_SIZES: Final = (4,)
_LAST_CALL_S: Final = 1.0
_LEASE: Final = "lease 5 s (ours), 15 s (torch)"

Scene = Callable[["Standing", float], float]


@dataclass(frozen=True)
class Standing:
    """A round that stands: each member in a process of its own, and one more that may come."""

    contender: Contender
    run: Run
    crowd: Crowd
    n: int

    @property
    def is_ours(self) -> bool:
        return self.contender.operator is not None

    @property
    def survivors(self) -> range:
        """All but the last one."""
        return range(self.n - 1)

    def expect(self, nodes: int) -> None:
        """Have the operator, if there is one, say how many nodes there should be."""
        if self.contender.operator:
            where = self.run.run_id, self.run.port
            bounds = self.run.low, self.run.high
            word = self.contender.operator.expect
            self.crowd.do(say, word, *where, bounds, nodes, limit_s=30, members=[0])


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of this module."""
    found = []
    for store in ("etcd", "c10d"):
        of = functools.partial(_case, store=store)
        found += [
            of("told-of-newcomer", _newcomer, "an operator has said that it comes (ours)"),
            of("told-of-death", _death, _LEASE),
            of("told-of-death", _gone, "the operator says that the pod is gone", by="-operator"),
            of("round-after-death", _round_after_death, f"{_LEASE}; last call 1 s"),
            of("leave", _round_after_leave, "last call 1 s"),
            _last_call(store, 5.0 if quick else 30.0),
        ]
    # torch has one c10d, and its deaths take long: the quick run has it once, and without those.
    return [_alone(c) if quick and _is_slow(c.name) else c for c in found]


def _is_slow(name: str) -> bool:
    return name.endswith("/etcd") or name.startswith("round-after-death/")


def _alone(case: Case) -> Case:
    return replace(case, peers={})


def _case(name: str, scene: Scene, remark: str, *, store: str, by: str = "") -> Case:
    ours = _play(OURS[store], scene)
    peers: Mapping[str, Measure] = {} if by else {TORCH.name: _play(TORCH, scene)}
    return Case(f"{name}/{store}{by}", _SIZES, "s", ours, peers, remark=remark)


def _play(contender: Contender, scene: Scene) -> Measure:
    """Measure one scene, from a round that stands on."""

    def measure(n: int, limit_s: float) -> float:
        with _gathered(contender, n, _LAST_CALL_S) as there:
            there.expect(n)
            _enter(there, limit_s)
            time.sleep(1.0)  # the round has settled; beats are somewhere between two
            return scene(there, min(limit_s, 60.0))

    return measure


def _last_call(store: str, last_call_s: float) -> Case:
    def measure(contender: Contender, n: int, limit_s: float) -> float:
        with _gathered(contender, n, last_call_s) as there:
            there.expect(n)
            return _enter(there, limit_s)

    return Case(
        f"last-call/{store}",
        _SIZES,
        "s",
        functools.partial(measure, OURS[store]),
        {TORCH.name: functools.partial(measure, TORCH)},
        remark=f"last call {last_call_s:g} s; an operator has said that nobody else comes (ours)",
    )


@contextlib.contextmanager
def _gathered(contender: Contender, n: int, last_call_s: float) -> Iterator[Standing]:
    with contender.serve() as server:
        run = Run(uuid.uuid4().hex, server.port, 2, 2 * n, last_call_s)
        with Crowd(functools.partial(contender.join, run), n + 1, processes=n + 1) as crowd:
            yield Standing(contender, run, crowd, n)


def _enter(there: Standing, limit_s: float) -> float:
    at = time.monotonic() + 0.2
    spans = there.crowd.do(enter, at, limit_s=limit_s, members=range(there.n))
    return float(max(end for _, end in spans) - min(start for start, _ in spans))


# --- scenes -------------------------------------------------------------------------------------


def _newcomer(there: Standing, limit_s: float) -> float:
    """Until all members' agents are told that somebody has come."""
    there.expect(there.n + 1)
    told = there.crowd.begin(be_told, limit_s, members=range(there.n))
    at = time.monotonic() + 0.3
    there.crowd.begin(enter, at, members=[there.n])
    return float(max(there.crowd.collect(told, limit_s + 5)) - at)


def _death(there: Standing, limit_s: float) -> float:
    """Until all survivors' agents are told that one was killed."""
    told = there.crowd.begin(be_told, limit_s, members=there.survivors)
    at = there.crowd.kill(there.n - 1)
    return float(max(there.crowd.collect(told, limit_s + 5)) - at)


def _gone(there: Standing, limit_s: float) -> float:
    """The same when the operator says so at once."""
    assert there.contender.operator
    told = there.crowd.begin(be_told, limit_s, members=there.survivors)
    at = there.crowd.kill(there.n - 1)
    uid = member_uid(there.run, there.n - 1)
    word = there.contender.operator.declare_gone
    said = there.crowd.begin(
        say, word, there.run.run_id, there.run.port, uid, there.n - 1, members=[there.n]
    )
    there.crowd.collect(said, limit_s)
    return float(max(there.crowd.collect(told, limit_s + 5)) - at)


def _round_after_death(there: Standing, limit_s: float) -> float:
    """Until the next round stands after one was killed; torch's members do not wait to be told."""
    action: Any = be_told_and_enter if there.is_ours else enter
    told = there.crowd.begin(action, limit_s if there.is_ours else 0.0, members=there.survivors)
    at = there.crowd.kill(there.n - 1)
    returned = there.crowd.collect(told, limit_s + 5)
    return float(max(end if there.is_ours else end[1] for end in returned) - at)


def _round_after_leave(there: Standing, limit_s: float) -> float:
    """Until the next round stands after one has left in good order."""
    told = there.crowd.begin(be_told_and_enter, limit_s, members=there.survivors)
    if not there.is_ours:
        there.crowd.do(shut_down, limit_s=limit_s, members=[there.n - 1])
        closed = there.crowd.do(is_closed, limit_s=limit_s, members=[there.n])
        if any(closed):
            raise NotMeasured("one that leaves closes the run for all")
    at = time.monotonic()
    there.crowd.begin(shut_down, members=[there.n - 1])
    return float(max(there.crowd.collect(told, limit_s + 5)) - at)


def shut_down(handler: Any) -> None:
    """Leave while the workers have failed, which closes nothing."""
    try:
        raise InterruptedError("the node is drained")
    except InterruptedError:
        handler.shutdown()


def is_closed(handler: Any) -> bool:
    """Whether the run is closed."""
    time.sleep(1.5)  # torch looks at its store once a second
    return bool(handler.is_closed())
