"""What happens to a round that stands: somebody comes, dies, leaves; and the next round."""

from __future__ import annotations

import contextlib
import functools
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.comparison import Case, Measure, NotMeasured
from benchmarks.contenders import OURS, TORCH, Contender, Run, member_uid
from benchmarks.crowd import Crowd, be_told, be_told_and_enter, enter
from benchmarks.operators import say
from benchmarks.servers import Server

_SIZES: Final = (4,)
_LAST_CALL_S: Final = 1.0
_LEASE: Final = "lease 5 s (ours), 15 s (torch)"

Scene = Callable[["Standing", float], float]


@dataclass(frozen=True)
class Standing:
    """A round that stands: each member in a process of its own, and one more that may come."""

    contender: Contender
    server: Server
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
            # The last one: the processes of the others may be busy being told.
            self.crowd.do(say, word, *where, bounds, nodes, limit_s=30, members=[self.n])


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of this module."""
    told = "an operator has said that it comes (ours)"
    after_death = f"{_LEASE}; last call 1 s"
    gone = "the operator says that the pod is gone"
    # The quick run has the telling of a death, and not the round after it, which stands at once.
    after = [] if quick else [_case("round-after-death", _round_after_death, after_death)]
    return [
        _case("told-of-newcomer", _newcomer, told),
        _case("told-of-death", _death, _LEASE, is_slow=quick),
        _case("told-of-death-operator", _gone, gone, is_slow=True),
        *after,
        _case("leave", _round_after_leave, "last call 1 s"),
        _case("store-restart", _restart, "the store's process is killed and started again"),
        _last_call(2.0 if quick else 10.0),
    ]


def _case(name: str, scene: Scene, remark: str, *, is_slow: bool = False) -> Case:
    """Return a case; torch is left out where it is too slow, or has no such thing."""
    ours = {store: _play(contender, scene) for store, contender in OURS.items()}
    peers = {} if is_slow else {TORCH.name: _play(TORCH, scene)}
    return Case(name, _SIZES, "s", ours, peers, remark=remark)


def _play(contender: Contender, scene: Scene) -> Measure:
    """Measure one scene, from a round that stands on."""

    def measure(n: int, limit_s: float) -> float:
        with _gathered(contender, n, _LAST_CALL_S) as there:
            there.expect(n)
            _enter(there, limit_s)
            time.sleep(1.0)  # the round has settled; beats are somewhere between two
            return scene(there, min(limit_s, 30.0))

    return measure


def _last_call(last_call_s: float) -> Case:
    def of(contender: Contender) -> Measure:
        def measure(n: int, limit_s: float) -> float:
            with _gathered(contender, n, last_call_s) as there:
                there.expect(n)
                return _enter(there, limit_s)

        return measure

    return Case(
        "last-call",
        _SIZES,
        "s",
        {store: of(contender) for store, contender in OURS.items()},
        {TORCH.name: of(TORCH)},
        remark=f"last call {last_call_s:g} s; an operator has said that nobody else comes (ours)",
    )


@contextlib.contextmanager
def _gathered(contender: Contender, n: int, last_call_s: float) -> Iterator[Standing]:
    with contender.serve() as server:
        run = Run(uuid.uuid4().hex, server.port, 2, 2 * n, last_call_s)
        with Crowd(functools.partial(contender.join, run), n + 1, processes=n + 1) as crowd:
            yield Standing(contender, server, run, crowd, n)


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


def _restart(there: Standing, limit_s: float) -> float:
    """Until all members hear through the restarted store that somebody has come.

    The time begins when the store listens again. An etcd has its data still, a TCPStore has none.
    """
    there.server.restart()
    at = time.monotonic()
    told = there.crowd.begin(be_told, limit_s, members=range(there.n))
    there.expect(there.n + 1)
    there.crowd.begin(enter, 0.0, members=[there.n])
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
