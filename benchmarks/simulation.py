"""More members than this machine holds: the protocol's own code on virtual time, on a stated model.

The model: every message takes 0.2 to 0.6 ms one way. One store carries out transactions one after
another, 0.1 ms each and 0.02 ms for each key written, and sends 100,000 notifications a second.
A member hears of what it watches alone: the round, its own place, itself and its predecessor;
the leader of everything. The leader decides anew 5 ms after it has heard of something.
The processor time of the members is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rdzv_client.testing.cluster import RUN, Cluster
from rdzv_client.testing.member import SimulatedMember
from rdzv_client.testing.store import Change, Write

_ONE_WAY_S: Final = (0.0002, 0.0006)
_TRANSACTION_S: Final = 0.0001
_KEY_S: Final = 0.00002
_NOTIFICATION_S: Final = 0.00001
_DECIDES_AFTER_S: Final = 0.005


class Watcher(SimulatedMember):
    """A member that hears of what it watches alone."""

    _is_deciding = False

    @property
    def _leads(self) -> bool:
        return isinstance(self.cluster, WatchedCluster) and self.cluster.leader is self

    def _relist(self) -> None:
        self.listing += 1  # nothing is there yet that it would watch

    def _advance(self) -> None:
        if not self._leads:
            super()._advance()
        elif not self._is_deciding:
            self._is_deciding = True
            self.cluster.at(_DECIDES_AFTER_S, self._decide)

    def _decide(self) -> None:
        self._is_deciding = False
        super()._advance()

    def _lead(self) -> None:
        if self._leads:
            super()._lead()


class WatchedCluster(Cluster):
    """A cluster whose store has a limited pace and tells each member what it watches alone.

    Args:
        n: How many members form the round.
        seed: Decides all delays.
    """

    def __init__(self, n: int, seed: int) -> None:
        super().__init__(seed, min_nodes=n, max_nodes=n, delay_s=_ONE_WAY_S)
        self.leader: Watcher | None = None
        self._free_at = 0.0
        self._watchers: dict[str, list[SimulatedMember]] = {}
        self._all: list[SimulatedMember] = []

    def start(self, name: str, slot: int | None = None, topology: str = "") -> SimulatedMember:
        """Start a member; all of them come at once."""
        member = Watcher(self, name, slot, topology)
        self.members[member.id] = member
        self.at(0.0, member.begin)
        return member

    def send(self, member: SimulatedMember, write: Write, answer: Callable[[int], None]) -> None:
        """Carry a transaction to the store, where it waits for its turn, and its answer back."""

        def arrive() -> None:
            cost_s = _TRANSACTION_S + _KEY_S * len(write.puts)
            self._free_at = max(self.now, self._free_at) + cost_s
            self.at(self._free_at - self.now, carry_out)

        def carry_out() -> None:
            held, changes = self.store.apply(write)
            if held and write.leased:
                self._register(member)
            self.publish(changes)
            revision = self.store.revision if held else 0
            self.at(self.delay(), lambda: member.deliver(lambda: answer(revision)))

        self.at(self.delay(), arrive)

    def beat(self, member: SimulatedMember) -> None:
        """Leases do not run out within the time that is simulated."""
        self.at(self.delay(), lambda: member.deliver(lambda: member.beaten(True)))

    def publish(self, changes: list[Change]) -> None:
        """Tell each member what it watches."""
        self.promises.check_store(changes)
        heard: dict[str, list[Change]] = {}
        for change in changes:
            for member in self._all if change.key == RUN.round else self._who_watches(change.key):
                heard.setdefault(member.id, []).append(change)
        if self.leader:
            heard[self.leader.id] = changes
        for member_id, mine in heard.items():
            self._free_at = max(self.now, self._free_at) + _NOTIFICATION_S
            self.at(self._free_at - self.now, lambda m=member_id, c=mine: self._tell(m, c))  # type: ignore[misc]

    def _tell(self, member_id: str, changes: list[Change]) -> None:
        self._deliver_in_order(self.members[member_id], changes)

    def _who_watches(self, key: str) -> list[SimulatedMember]:
        return self._watchers.get(key, [])

    def _register(self, member: SimulatedMember) -> None:
        if member in self._watchers.get(member.key, []):
            return
        if self.leader is None:
            assert isinstance(member, Watcher)
            self.leader = member
        self._watchers[member.key] = [member]
        self._watchers[RUN.rank(member.id)] = [member]
        self._all.append(member)


def form(n: int, seed: int) -> float:
    """Form one round of ``n`` members who come at once; return the virtual time it took."""
    cluster = WatchedCluster(n, seed)
    for i in range(n):
        cluster.start(f"m{i}")
    return cluster.run_until(lambda: _all_have_entered(cluster, n), 600.0)


def _all_have_entered(cluster: WatchedCluster, n: int) -> bool:
    returned = cluster.promises.returned
    return bool(returned) and sum(map(len, returned.values())) == n
