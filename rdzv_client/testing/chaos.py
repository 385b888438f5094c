"""Schedules of faults, from a seed: what happens to a simulated cluster, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rdzv_client.testing.cluster import Cluster
from rdzv_client.testing.member import SimulatedMember
from rdzv_client.view import Timing

STORM_S = 90.0
CALM_S = 180.0


def first_broken(seeds: Iterable[int]) -> str | None:
    """Run schedules; return the first that broke a promise, and how, or None."""
    for seed in seeds:
        try:
            Schedule(seed).run()
        except AssertionError as error:
            return f"replay with SEED={seed}: {error}"
    return None


class Schedule:
    """One storm of faults and the calm after it, in which the promises must be kept.

    Args:
        seed: Decides everything.
        tamper: Called with the cluster before it starts; a test of the tests breaks something.
    """

    def __init__(self, seed: int, tamper: Callable[[Cluster], None] | None = None) -> None:
        step = (1, 1, 1, 2)[seed // 4 % 4]
        self.cluster = Cluster(
            seed,
            min_nodes=(1 + seed % 3) * step,
            max_nodes=(3 + seed % 4) * step,
            step=step,
            delay_s=(0.0005, 0.002) if seed % 2 else (0.001, 1.5),
            loss=(0.0, 0.05, 0.3)[seed % 3],
            repeats=(0.0, 0.1)[seed // 3 % 2],
            timing=Timing(last_call_s=10.0),
        )
        self.random = self.cluster.random
        self.cluster.tells_sites = seed % 5 == 4
        self._slots = 0
        if tamper:
            tamper(self.cluster)

    def run(self) -> None:
        """Go through the storm and the calm.

        Raises:
            AssertionError: a promise was broken, or no round stands at the end.
        """
        cluster = self.cluster
        for _ in range(cluster.min_nodes + self.random.randint(0, 2)):
            self._add()
        while cluster.now < STORM_S:
            cluster.run(self.random.expovariate(0.4))
            self.random.choice(self._actions())()
        self._calm()
        cluster.run_until(self._stands, CALM_S)
        if self.random.random() < 0.2:
            self._close()

    def _actions(self) -> list[Callable[[], None]]:
        return [
            self._add,
            self._crash,
            self._crash_and_tell,
            self._pause,
            self._cut,
            self._fail,
            self._leave,
            self._freeze,
            self._drain,
            self._settle,
            self._replace_store,
        ]

    # --- faults ---

    def _alive(self) -> list[SimulatedMember]:
        return [m for m in self.cluster.members.values() if not m.crashed and not m.ended]

    def _staying(self) -> list[SimulatedMember]:
        return [m for m in self._alive() if m.keys.drain(m.uid) not in self.cluster.drains]

    def _pick(self) -> SimulatedMember | None:
        alive = self._alive()
        return self.random.choice(alive) if len(alive) > 1 else None

    def _add(self) -> None:
        if len(self._alive()) < self.cluster.max_nodes + 1:
            self._slots += 1
            slot = self._slots if self.random.random() < 0.5 else None
            member = self.cluster.start(f"w{self._slots}", slot)
            if self.cluster.tells_sites:
                self.cluster.at(self.random.uniform(0.0, 10.0), lambda: self._tell_site(member))

    def _tell_site(self, member: SimulatedMember) -> None:
        """The operator may be late, and its word may be lost with the store."""
        if not self.cluster.frozen:
            self.cluster.site(member, self.random.choice(["rack-1", "rack-2", ""]))

    def _crash(self) -> None:
        if member := self._pick():
            member.crash()

    def _crash_and_tell(self) -> None:
        if (member := self._pick()) and not self.cluster.frozen:
            member.crash()
            self.cluster.gone(member)

    def _pause(self) -> None:
        if member := self._pick():
            member.pause()
            self.cluster.at(self.random.uniform(0.1, 15.0), member.resume)

    def _cut(self) -> None:
        if member := self._pick():
            member.cut()
            self.cluster.at(self.random.uniform(0.1, 15.0), member.heal)

    def _fail(self) -> None:
        if member := self._pick():
            member.fail_workers()

    def _leave(self) -> None:
        if member := self._pick():
            member.leave("signal", "it was told to stop")

    def _drain(self) -> None:
        if (member := self._pick()) and not self.cluster.frozen:
            self.cluster.drain(member)

    def _freeze(self) -> None:
        if not self.cluster.frozen:
            self.cluster.freeze()
            self.cluster.at(self.random.uniform(0.1, 12.0), self.cluster.thaw)

    def _settle(self) -> None:
        if not self.cluster.frozen:
            self.cluster.settings(expected=self.random.randint(0, self.cluster.max_nodes))

    def _replace_store(self) -> None:
        if self.random.random() < 0.3 and not self.cluster.frozen:
            self.cluster.replace_store()

    # --- the calm ---

    def _calm(self) -> None:
        cluster = self.cluster
        if cluster.frozen:
            cluster.thaw()
        cluster.loss = cluster.repeats = 0.0
        for member in cluster.members.values():
            if member.paused:
                member.resume()
            if member.cut_off:
                member.heal()
        while len(self._staying()) < cluster.min_nodes:
            self._slots += 1
            cluster.start(f"w{self._slots}", self._slots)

    def _close(self) -> None:
        """Any member closes the run, and who comes later finds it closed.

        An emptied store is told so again, if anybody is left who knows.
        """
        cluster = self.cluster
        self.random.choice(self._alive()).close("a test said so")
        cluster.closing_is_meant = True
        cluster.run_until(lambda: bool(cluster.round and cluster.round.phase == "closed"), CALM_S)
        cluster.run(10.0)
        if self._alive() and self.random.random() < 0.5:
            cluster.replace_store()
            cluster.run(10.0)
        self._slots += 1
        late = cluster.start(f"w{self._slots}", self._slots)
        cluster.run_until(lambda: late.ended is not None, CALM_S)

    def _stands(self) -> bool:
        """Whether who was drained has left, and all others that fit in work in one round."""
        cluster, round_ = self.cluster, self.cluster.round
        if round_ is None or round_.phase != "complete":
            return False
        working = cluster.working(round_.number)
        staying = self._staying()
        wanted = min(len(staying), cluster.max_nodes) // cluster.step * cluster.step
        return len(working) == wanted == round_.world_size and staying == self._alive()
