"""A simulated cluster: members that run the real protocol code over a simulated store.

Everything happens on one virtual clock and from one seed, so that a schedule can be replayed.
After every step the promises P1 to P5 of the protocol are checked (:mod:`.promises`).
"""

from __future__ import annotations

import functools
import heapq
import itertools
import random
from collections.abc import Callable

from rdzv_client import wire
from rdzv_client.testing.member import SimulatedMember
from rdzv_client.testing.promises import Promises
from rdzv_client.testing.store import Change, Store, Write
from rdzv_client.view import Timing

RUN = wire.Keys("run")


class Cluster:
    """Members, a store and the messages between them.

    Args:
        seed: Decides all delays and losses.
        min_nodes: Least members of a round.
        max_nodes: Most members of a round.
        step: Of which the members of a round are a multiple.
        delay_s: Least and most time that a message takes.
        loss: Share of answers to transactions that are lost.
        repeats: Share of transactions that arrive a second time, later.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        min_nodes: int = 2,
        max_nodes: int = 4,
        step: int = 1,
        delay_s: tuple[float, float] = (0.0005, 0.002),
        loss: float = 0.0,
        repeats: float = 0.0,
        timing: Timing | None = None,
    ) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a schedule, not a secret
        self.now = 0.0
        self.min_nodes, self.max_nodes, self.step = min_nodes, max_nodes, step
        self.delay_s, self.loss, self.repeats = delay_s, loss, repeats
        self.timing = timing or Timing()
        self.store = Store()
        self.members: dict[str, SimulatedMember] = {}
        self.promises = Promises(self)
        self.frozen = False
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.nonces = itertools.count(1)
        self._delivered_at: dict[str, float] = {}
        self.settings_seq = 0
        self.closing_is_meant = False
        self.drains: dict[str, bytes] = {}
        self.tells_sites = False
        self.sites: dict[str, bytes] = {}

    # --- time ---

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something after a delay."""
        heapq.heappush(self._queue, (self.now + delay_s, next(self._order), action))

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = end

    def run_until(self, reached: Callable[[], bool], limit_s: float) -> float:
        """Let time pass until something holds; return how long it took.

        Raises:
            AssertionError: it did not hold within ``limit_s``.
        """
        start = self.now
        while not reached():
            if not self._queue or self._queue[0][0] > start + limit_s:
                raise AssertionError(f"not reached within {limit_s} s\n{self.describe()}")
            self.now, _, action = heapq.heappop(self._queue)
            action()
        return self.now - start

    # --- messages ---

    def delay(self) -> float:
        return self.random.uniform(*self.delay_s)

    def send(self, member: SimulatedMember, write: Write, answer: Callable[[int], None]) -> None:
        """Carry a transaction to the store, and its answer back unless that is lost.

        The answer is the revision of the write; 0 when its fences did not hold.
        """

        def arrive() -> None:
            if self.frozen:
                return
            stale = [k for k, rev in write.created.items() if self.store.created(k) != rev]
            held, changes = self.store.apply(write)
            if held:
                self.promises.check_write(write, stale)
            if held and write.leased:
                self.store.expires_at[write.owner] = self.now + self.timing.lease_ttl_s
            self.publish(changes)
            revision = self.store.revision if held else 0
            if self.random.random() >= self.loss:
                self.at(self.delay(), lambda: member.deliver(lambda: answer(revision)))

        if not member.cut_off:
            self.at(self.delay(), arrive)
            if self.random.random() < self.repeats:
                self.at(self.delay() + self.delay(), arrive)

    def beat(self, member: SimulatedMember) -> None:
        """Carry a keep-alive to the store, and its answer back."""

        def arrive() -> None:
            if self.frozen:
                return
            known = member.id in self.store.expires_at
            if known:
                self.store.expires_at[member.id] = self.now + self.timing.lease_ttl_s
            self.at(self.delay(), lambda: member.deliver(lambda: member.beaten(known)))

        if not member.cut_off:
            self.at(self.delay(), arrive)

    def publish(self, changes: list[Change]) -> None:
        """Send changes to all who watch, to each in the order they happened."""
        self.promises.check_store(changes)
        for member in list(self.members.values()):
            if changes and not member.crashed:
                self._deliver_in_order(member, changes)

    def _deliver_in_order(self, member: SimulatedMember, changes: list[Change]) -> None:
        at = max(self.now + self.delay(), self._delivered_at.get(member.id, 0.0))
        self._delivered_at[member.id] = at
        listing = member.listing
        self.at(at - self.now, lambda: member.hear(changes, listing))

    # --- what happens to it ---

    def start(self, name: str, slot: int | None = None, topology: str = "") -> SimulatedMember:
        """Start an agent; it enters ``next_rendezvous`` at once."""
        member = SimulatedMember(self, name, slot, topology)
        self.members[member.id] = member
        self.at(0.0, member.begin)
        if len(self.members) == 1:
            self.at(0.1, self._expire)
        return member

    def _expire(self) -> None:
        if not self.frozen:
            self.publish(self.store.expire(self.now))
        self.at(0.1, self._expire)

    def gone(self, member: SimulatedMember, reason: str = "the pod was deleted") -> None:
        """Do what the operator does when a pod is gone."""
        puts = {RUN.gone(member.uid): wire.encode(wire.Gone(member.uid, reason))}
        _, changes = self.store.apply(Write("operator", puts, (member.key,)))
        self.publish(changes)

    def drain(self, member: SimulatedMember, reason: str = "scaled in") -> None:
        """Do what the operator does when a pod is to leave."""
        drain = wire.encode(wire.Drain(member.uid, reason))
        self.drains[RUN.drain(member.uid)] = drain
        self.publish(self.store.apply(Write("operator", {RUN.drain(member.uid): drain}))[1])

    def site(self, member: SimulatedMember, topology: str) -> None:
        """Do what the operator does when it sees on which node a pod is."""
        node = member.record.node
        self.sites[RUN.site(node)] = wire.encode(wire.Site(node, topology))
        self.publish(self.store.apply(Write("operator", dict(self.sites)))[1])

    def settings(
        self,
        expected: int | None = None,
        closed: str | None = None,
        stalled: tuple[int, str] = (0, ""),
    ) -> None:
        """Write the operator's settings; ``stalled`` is the round that is to end, and why."""
        self.settings_seq += 1
        self.closing_is_meant |= closed is not None
        settings = wire.Settings(
            self.settings_seq,
            self.min_nodes,
            self.max_nodes,
            expected,
            round_floor=self.promises.highest,
            closed=closed,
            sites=self.tells_sites,
            step=self.step,
            stalled_round=stalled[0],
            stalled_reason=stalled[1],
        )
        write = Write("operator", {RUN.settings: wire.encode(settings)})
        self.publish(self.store.apply(write)[1])

    def freeze(self) -> None:
        """Stop the store; nothing is lost, and no lease runs out meanwhile."""
        self.frozen = True

    def thaw(self) -> None:
        """Let the store go on; all leases run out at once, as they do in a server that slept."""
        self.frozen = False
        self.store.expires_at = dict.fromkeys(self.store.expires_at, self.now)

    def replace_store(self) -> None:
        """Put an empty store in place of this one, with what the operator has to say in it."""
        self.store.empty()
        self.promises.store_was_emptied()
        self.settings()
        self.publish(self.store.apply(Write("operator", {**self.drains, **self.sites}))[1])
        for member in self.members.values():
            self.at(self.delay(), functools.partial(member.deliver, member.resync))

    # --- what is to be seen ---

    @property
    def round(self) -> wire.Round | None:
        record = self.store.records.get(RUN.round)
        return wire.decode(wire.Round, RUN.round, record.value) if record else None

    def working(self, number: int | None = None) -> list[SimulatedMember]:
        """Members that work in a round that stands, by rank."""
        there = [m for m in self.members.values() if m.entered and m.is_well]
        if number is not None:
            there = [m for m in there if m.entered and m.entered.round.number == number]
        return sorted(there, key=lambda m: m.entered.rank if m.entered else 0)

    def describe(self) -> str:
        lines = [f"t={self.now:.3f} round={self.round}"]
        return "\n".join(lines + [str(member) for member in self.members.values()])

    def record_for(self, member: SimulatedMember) -> wire.Member:
        return wire.Member(
            id=member.id,
            uid=member.uid,
            slot=member.slot,
            name=member.name,
            node=f"node-{member.name}",
            addr=f"addr-{member.name}",
            min_nodes=self.min_nodes,
            max_nodes=self.max_nodes,
            step=self.step,
        )
