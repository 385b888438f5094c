"""What a leader sees of a run, and what follows from it alone (pure).

All times are seconds on the leader's own monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from rdzv_client import wire


@dataclass(frozen=True)
class Timing:
    """How long a leader waits for what, in seconds.

    Attributes:
        lease_ttl_s: A member that shows no life for so long is lost.
        last_call_s: How long a round with enough members waits for more that may come.
        admission_window_s: How long newcomers gather before a standing round is broken for them.
        admission_interval_s: How long a round stands at least before it is broken for newcomers.
        agreement_s: How long a proposed member may stay silent before it is left out.
        stop_grace_s: Beyond its own stop time-out, how long a member may take to come back.
        site_s: How long a newcomer is waited for at most, until it is known where it runs.
    """

    lease_ttl_s: float = 5.0
    last_call_s: float = 30.0
    admission_window_s: float = 3.0
    admission_interval_s: float = 0.0
    agreement_s: float = 15.0
    stop_grace_s: float = 5.0
    site_s: float = 5.0


@dataclass(frozen=True)
class Seen:
    """A live member as the leader sees it; ``since`` is when it last became busy or free."""

    member: wire.Member
    since: float


class Bounds(NamedTuple):
    """How many members a round has: from the least to the most of them, a multiple of step."""

    least: int
    most: int
    step: int


@dataclass(frozen=True)
class View:
    """One leader's snapshot of a run.

    Attributes:
        me: The member that looks.
        members: All live members, the oldest record first.
        round: The round record, if there is one.
        ranks: Member id to rank record, of the round record's proposal and leader.
        last_ranks: Member id to rank in the last round that was formed.
        settings: What the operator wants, if there is one.
        gone: Pod UIDs that the operator has declared gone.
        drains: Pod UIDs that are to leave in good order.
        sites: Node to where it stands, as the operator says.
        left: Member id to how it left.
        round_since: When the round record took its present phase.
        contact_since: Since when the store has been heard without interruption.
        silent: Members that did not agree to an earlier proposal in time.
        timing: How long to wait for what.
    """

    me: str
    members: tuple[Seen, ...] = ()
    round: wire.Round | None = None
    ranks: Mapping[str, wire.Rank] = field(default_factory=dict)
    last_ranks: Mapping[str, wire.Rank] = field(default_factory=dict)
    settings: wire.Settings | None = None
    gone: Mapping[str, wire.Gone] = field(default_factory=dict)
    drains: Mapping[str, wire.Drain] = field(default_factory=dict)
    sites: Mapping[str, str] = field(default_factory=dict)
    left: Mapping[str, wire.Left] = field(default_factory=dict)
    round_since: float = 0.0
    contact_since: float = 0.0
    silent: frozenset[str] = frozenset()
    timing: Timing = Timing()

    @cached_property
    def live(self) -> dict[str, wire.Member]:
        return {seen.member.id: seen.member for seen in self.members}

    @cached_property
    def phase(self) -> str:
        return self.round.phase if self.round else "none"

    @cached_property
    def finished(self) -> frozenset[str]:
        """Members whose workers have all ended with success, here or already gone."""
        here = {member.id for member in self.live.values() if member.finished}
        return frozenset(here | {i for i, left in self.left.items() if left.cause == "finished"})

    @cached_property
    def busy(self) -> tuple[Seen, ...]:
        """Members at work in the last round, or still stopping their workers after it."""
        return tuple(seen for seen in self.members if is_busy(seen.member, self.round))

    @cached_property
    def ready(self) -> tuple[Seen, ...]:
        """Members that wait inside ``next_rendezvous`` and can be in the next round."""
        return tuple(
            seen
            for seen in self.members
            if not seen.member.finished
            and seen.member.closes is None
            and seen.member.uid not in self.drains
            and not is_busy(seen.member, self.round)
            and not is_stuck(seen.member, self.round)
            and seen.member.id not in self.silent
        )

    @cached_property
    def lost(self) -> tuple[wire.Rank, ...]:
        """Members of the last round that went, and neither finished nor were asked to."""
        gone = (r for i, r in self.last_ranks.items() if i not in self.live)
        lost = (r for r in gone if r.id not in self.finished and r.uid not in self.drains)
        return tuple(sorted(lost, key=lambda r: r.rank))

    def located(self, member: wire.Member) -> wire.Member:
        """Return the member with where it runs: in its own words, else in the operator's."""
        site = self.sites.get(member.node, "")
        return member if member.topology else replace(member, topology=site)

    @property
    def max_nodes(self) -> int:
        return self.bounds.most

    @property
    def min_nodes(self) -> int:
        """Least members of the next round; those that finished need not be replaced."""
        finished = sum(1 for member in self.last_ranks if member in self.finished)
        return max(self.step, self.bounds.least - finished)

    @cached_property
    def step(self) -> int:
        """Of which the next round is a multiple; once some have finished, all others go on."""
        return 1 if self.finished & set(self.last_ranks) else self.bounds.step

    def fitting(self, here: int) -> int:
        """Return how many members a round has at most when so many are there."""
        return min(here, self.max_nodes) // self.step * self.step

    @property
    def bounds(self) -> Bounds:
        """How many members a round has, in the operator's words if there is one.

        An emptied store may not have its settings yet; the round that was brought back knows them.
        """
        told: wire.Settings | wire.Round | wire.Member = self.first.member
        if self._remembers and self.round:
            told = self.round
        if self.settings:
            told = self.settings
        return Bounds(told.min_nodes, told.max_nodes, told.step)

    @property
    def first(self) -> Seen:
        """Whose bounds count without an operator: the oldest of the last round, or of all."""
        veterans = (seen for seen in self.members if seen.member.id in self.last_ranks)
        return next(veterans, self.members[0])

    @property
    def expected_nodes(self) -> int | None:
        """How many members should be there within seconds, at most the maximum.

        The round that was brought back into an emptied store knows that, too.
        """
        told = self.settings or (self.round if self._remembers else None)
        if told is None or told.expected_nodes is None:
            return None
        return min(told.expected_nodes, self.max_nodes)

    @property
    def _remembers(self) -> bool:
        """Whether the round tells what the operator wanted, whose settings are not there."""
        return bool(self.first.member.operated and self.round and self.round.max_nodes)


def is_busy(member: wire.Member, round_: wire.Round | None) -> bool:
    """Whether the member is at work in the last round, or still stopping its workers after it."""
    return round_ is not None and round_.formed == member.acked != 0 and not member.finished


def is_stuck(member: wire.Member, round_: wire.Round | None) -> bool:
    """Whether the member still stops the workers of a round before the last one.

    It may never end, where not even SIGKILL ends a worker. Who waits withdraws what it agreed to
    when that is given up.
    """
    return round_ is not None and member.acked not in {0, round_.formed, round_.proposal}
