"""A run's records as one member last heard of them, and the view that a leader decides on.

No input or output here: whoever watches the store tells the replica what changed and when, in
seconds on its own monotonic clock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from rdzv_client import participation, wire
from rdzv_client.view import Seen, Timing, View, is_busy

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """One key of the store: its value, when the key was created and last changed."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int


class Contact:
    """Since when the store has been heard without interruption.

    While it is not heard nobody can renew a lease, so that all may run out together, whoever lives.
    Two thirds of a lease without an answer are taken for an interruption: beats come thrice as
    often as they must.

    Args:
        lease_ttl_s: The lease.
        now: The time.
    """

    def __init__(self, lease_ttl_s: float, now: float) -> None:
        self._longest_gap_s = lease_ttl_s * 2 / 3
        self._since = self._beaten_at = now

    def beaten(self, now: float) -> None:
        """Take note that the store has answered."""
        if now - self._beaten_at > self._longest_gap_s:
            self._since = now
        self._beaten_at = now

    def interrupted(self, now: float) -> None:
        """Take note that changes may have been missed."""
        self._since = now

    def since(self, now: float) -> float:
        """Return since when contact has lasted; ``now`` while there is none."""
        return now if now - self._beaten_at > self._longest_gap_s else self._since


class Replica:
    """What one member knows of its run.

    Args:
        keys: The run's keys.
        me: This member's id.
        timing: How long a leader waits for what.
    """

    def __init__(self, keys: wire.Keys, me: str, timing: Timing) -> None:
        self.keys = keys
        self.me = me
        self.timing = timing
        self.settings: wire.Settings | None = None
        self.round: wire.Round | None = None
        self.round_revision = 0
        self.round_fault: wire.WireError | None = None
        self.round_since = 0.0
        self._phase = (0, "none")
        self.forming_since: float | None = None
        self.ranks: dict[str, wire.Rank] = {}
        self.last_ranks: dict[str, wire.Rank] = {}
        self._members: dict[str, tuple[int, wire.Member]] = {}
        self._since: dict[str, tuple[bool, float]] = {}
        self._gone: dict[str, wire.Gone] = {}
        self._drains: dict[str, wire.Drain] = {}
        self._left: dict[str, wire.Left] = {}
        self._sites: dict[str, str] = {}
        self._silent_until: dict[str, float] = {}

    # --- what was heard ---

    def reset(self, records: Iterable[Record], now: float) -> None:
        """Take a full listing in place of all that was heard before.

        A node does not move because the store has forgotten where it stands.
        """
        self._members, self._gone, self._drains, self._left = {}, {}, {}, {}
        self.ranks, self.settings = {}, None
        self.round, self.round_revision = None, 0
        for record in sorted(records, key=lambda record: record.mod_revision):
            self.put(record, now)

    def put(self, record: Record, now: float) -> None:
        """Take a record that was created or changed.

        A record that is not valid is left out, with a warning; if it is the round record, the fault
        is kept in ``round_fault`` until a valid one replaces it.
        """
        try:
            self._put(record, now)
        except wire.WireError as error:
            log.warning("Ignored what stands in the store: %s", error)
            if record.key == self.keys.round:
                self.round_fault = error

    def _put(self, record: Record, now: float) -> None:
        keys, key, value = self.keys, record.key, record.value
        if key == keys.round:
            self._take_round(wire.decode(wire.Round, key, value), record.mod_revision, now)
        elif key == keys.settings:
            self.settings = wire.decode(wire.Settings, key, value)
        elif key.startswith(keys.members):
            member = wire.decode(wire.Member, key, value)
            self._members[key] = (record.create_revision, member)
            self._silent_until.pop(member.id, None)
        elif key.startswith(keys.ranks):
            rank = wire.decode(wire.Rank, key, value)
            self.ranks[rank.id] = rank
        elif key.startswith(keys.gone_prefix):
            gone = wire.decode(wire.Gone, key, value)
            self._gone[gone.uid] = gone
        elif key.startswith(keys.drain_prefix):
            drain = wire.decode(wire.Drain, key, value)
            self._drains[drain.uid] = drain
        elif key.startswith(keys.site_prefix):
            site = wire.decode(wire.Site, key, value)
            self._sites[site.node] = site.topology
        elif key.startswith(keys.left_prefix):
            left = wire.decode(wire.Left, key, value)
            self._left[left.id] = left

    def delete(self, key: str, now: float) -> None:
        """Take note that a key is no more."""
        keys = self.keys
        if key == keys.round:
            self.round, self.round_revision = None, 0
            self._phase, self.round_since = (0, "none"), now
        elif key == keys.settings:
            self.settings = None
        elif key.startswith(keys.members):
            self._members.pop(key, None)
        elif key.startswith(keys.ranks):
            self.ranks.pop(key.removeprefix(keys.ranks), None)
        elif key.startswith(keys.drain_prefix):
            self._drains.pop(key.removeprefix(keys.drain_prefix), None)
        elif key.startswith(keys.left_prefix):
            self._left.pop(key.removeprefix(keys.left_prefix), None)

    def _take_round(self, new: wire.Round, revision: int, now: float) -> None:
        self.round, self.round_revision, self.round_fault = new, revision, None
        if self._phase != (new.proposal, new.phase):
            self._phase = (new.proposal, new.phase)
            self.round_since = now
        if new.phase == "complete":
            self.forming_since = None
        elif self.forming_since is None:
            self.forming_since = now

    def omit(self, members: frozenset[str], now: float) -> None:
        """Leave members out of proposals until they write again, or for two agreement times.

        One that was cut off may come back with nothing to write.
        """
        until = now + 2 * self.timing.agreement_s
        self._silent_until.update(dict.fromkeys(members, until))

    # --- what is known ---

    @property
    def my_rank(self) -> wire.Rank | None:
        return self.ranks.get(self.me)

    def knows(self, member: wire.Member) -> bool:
        """Return whether the member's record is among those heard of."""
        return self.keys.member(member.slot, member.id) in self._members

    def oldest(self) -> str | None:
        """Return the id of the live member with the oldest record, who leads."""
        if not self._members:
            return None
        return min(self._members.values(), key=lambda entry: entry[0])[1].id

    def view(self, now: float, contact_since: float) -> View:
        """Return the snapshot that a leader decides on.

        Args:
            now: The time.
            contact_since: Since when the store has been heard without interruption.
        """
        self._note_last_ranks()
        return View(
            me=self.me,
            members=self._seen(now),
            round=self.round,
            ranks=self._placed(),
            last_ranks=dict(self.last_ranks),
            settings=self.settings,
            gone=dict(self._gone),
            drains=dict(self._drains),
            sites=dict(self._sites),
            left=dict(self._left),
            round_since=self.round_since,
            contact_since=contact_since,
            silent=frozenset(m for m, until in self._silent_until.items() if now < until),
            timing=self.timing,
        )

    def formation_s(self, now: float) -> float:
        """Return how long the round to come has been forming, in seconds."""
        if self.forming_since is not None:
            return now - self.forming_since
        first = min((since for _, since in self._since.values()), default=now)
        return now - first

    def _seen(self, now: float) -> tuple[Seen, ...]:
        ordered = sorted(self._members.values(), key=lambda entry: entry[0])
        since = {}
        for _, member in ordered:
            busy = is_busy(member, self.round)
            known = self._since.get(member.id)
            since[member.id] = known if known and known[0] == busy else (busy, now)
        self._since = since
        return tuple(Seen(member, since[member.id][1]) for _, member in ordered)

    def _placed(self) -> dict[str, wire.Rank]:
        if self.round is None:
            return {}
        round_ = self.round
        placed = [r for r in self.ranks.values() if participation.has_place(round_, r)]
        return {rank.id: rank for rank in sorted(placed, key=lambda rank: rank.rank)}

    def _note_last_ranks(self) -> None:
        """The members of the last formed round; of the proposal, if nothing better is known."""
        if self.round and (self.round.formed == self.round.proposal or not self.last_ranks):
            self.last_ranks = self._placed()
