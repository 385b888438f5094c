"""The promises of the protocol, checked after every step of a simulation.

P1: all who return from round r got the same members, ranks and store address. P2: ranks are 0 to
n-1, min <= n <= max, and n is a multiple of the step. P3: nobody returns from a round it is not in.
P4: round numbers only grow. P5: closed is final. L4: a leave, or a failure, never closes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdzv_client import participation, wire
from rdzv_client.testing.store import Change, Write

if TYPE_CHECKING:
    from rdzv_client.testing.cluster import Cluster
    from rdzv_client.testing.member import SimulatedMember


class BrokenPromise(AssertionError):
    """A promise did not hold; the message says which, and how."""


class Promises:
    """What was returned to whom, and every round that was formed."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.formed: dict[int, wire.Round] = {}
        self.returned: dict[tuple[int, int], dict[int, str]] = {}
        self.highest = 0
        self._closed = False

    def store_was_emptied(self) -> None:
        """Until somebody who knows that the run is closed comes, nobody can know it."""
        self._closed = False

    def check_store(self, changes: list[Change]) -> None:
        """Look at every round record that is written."""
        for change in changes:
            if change.record and change.key.endswith("/round"):
                self._check_round(wire.decode(wire.Round, change.key, change.record.value))

    def check_write(self, write: Write, stale: list[str]) -> None:
        """Look at a transaction that was carried out: no stale leader's is."""
        self._expect("P4", not stale, f"{write.owner} wrote although {stale} is another by now")

    def _check_round(self, round_: wire.Round) -> None:
        self._expect("P5", not self._closed or round_.phase == "closed", "reopened")
        self._closed = round_.phase == "closed"
        self._expect("L4", not self._closed or self._may_close(), "closed, and nobody meant it")
        if round_.phase != "complete":
            return
        known = self.formed.get(round_.number)
        if known and (known.proposal, known.leader) == (round_.proposal, round_.leader):
            return
        self._expect("P4", round_.number > self.highest, f"{round_.number} after {self.highest}")
        low, high = self.cluster.min_nodes, self.cluster.max_nodes
        finished = any(member.record.finished for member in self.cluster.members.values())
        size, step = round_.world_size, self.cluster.step
        fits = (finished or (low <= size and size % step == 0)) and size <= high
        self._expect("P2", fits, f"{size} members, not {low} to {high} in steps of {step}")
        self.highest = round_.number
        self.formed[round_.number] = round_

    def _may_close(self) -> bool:
        finished = any(member.record.finished for member in self.cluster.members.values())
        return self.cluster.closing_is_meant or finished

    def check_return(self, member: SimulatedMember, step: participation.Enter) -> None:
        """Look at what a member gets from ``next_rendezvous``."""
        number = step.round.number
        formed = self.formed.get(number)
        self._expect("P3", formed is not None, f"{member.id} returned from unformed {number}")
        assert formed
        same = (formed.proposal, formed.world_size, formed.store, formed.rank0) == (
            step.round.proposal,
            step.round.world_size,
            step.store,
            step.round.rank0,
        )
        self._expect("P1", same, f"{member.id} got {step.round}, not {formed}")
        self._expect("P2", 0 <= step.rank < formed.world_size, f"rank {step.rank}")
        self._expect("P1", (step.rank == 0) == (member.id == formed.rank0), "rank 0 differs")
        holders = self.returned.setdefault((number, formed.proposal), {})
        holder = holders.setdefault(step.rank, member.id)
        self._expect("P1", holder == member.id, f"rank {step.rank}: {holder} and {member.id}")

    def _expect(self, promise: str, holds: bool, words: str) -> None:
        if not holds:
            raise BrokenPromise(f"{promise}: {words}\n{self.cluster.describe()}")
