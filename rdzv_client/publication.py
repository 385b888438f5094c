"""What a leader writes to carry out its verdict (pure).

Every write is fenced twice: by the create revision of the leader's own record, so that a leader
whose record was lost cannot write, and by the revision of the round record it has seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from rdzv_client import participation, verdicts, wire
from rdzv_client.replica import Replica
from rdzv_client.view import View


@dataclass(frozen=True)
class Publication:
    """Documents to put, keys to delete, and the round record that seals them, written last."""

    round: wire.Round
    ranks: tuple[wire.Rank, ...] = ()
    stale_ranks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Known:
    """The newest round record a member has seen, and its own place in it if it has one."""

    round: wire.Round
    rank: wire.Rank | None


def newest(known: Known | None, replica: Replica) -> Known | None:
    """Return what the member remembers, for the day the store forgets it.

    Its place outlasts a listing in which the round is back already and its place is not.
    """
    there, rank = replica.round, replica.my_rank
    if there is None or (known and _is_newer(known.round, there)):
        return known
    if rank is None and known and known.rank and participation.has_place(there, known.rank):
        rank = known.rank
    return Known(there, rank)


def _is_newer(one: wire.Round, other: wire.Round) -> bool:
    """Whether a record tells of what came after another; nothing comes after a closed run."""
    if "closed" in {one.phase, other.phase}:
        return other.phase != "closed"
    return one.number > other.number


@dataclass(frozen=True)
class Restoration:
    """What a member brings back of a round that the store has forgotten; None: it is there."""

    round: wire.Round | None
    rank: wire.Rank | None


def restoration(known: Known | None, replica: Replica) -> Restoration | None:
    """Return what a member writes back after the store was emptied or set back; None for nothing.

    Each member brings back its own place, whoever was the first to bring back the round.

    Args:
        known: What it remembers.
        replica: What stands in the store now.
    """
    if known is None:
        return None
    there = replica.round
    forgotten = there is None or _is_newer(known.round, there)
    same = there is not None and participation.has_place(there, known.rank)
    lost_rank = known.rank if known.rank != replica.my_rank and (forgotten or same) else None
    lost_round = known.round if forgotten else None
    return Restoration(lost_round, lost_rank) if lost_round or lost_rank else None


def publish(
    verdict: verdicts.Propose | verdicts.Complete | verdicts.Break | verdicts.Close,
    view: View,
    proposal: int,
    formation_s: float,
) -> Publication:
    """Return what is to be written.

    Args:
        verdict: What the leader has decided.
        view: The view it decided on.
        proposal: A number above any proposal made before; used by a new proposal only.
        formation_s: How long the round has been forming, in seconds.
    """
    if isinstance(verdict, verdicts.Propose):
        return _proposal(verdict, view, proposal)
    if isinstance(verdict, verdicts.Complete):
        assert view.round
        formed = view.round.proposal
        complete = replace(
            view.round, phase="complete", formed=formed, store=verdict.store, seconds=formation_s
        )
        return Publication(complete)
    if isinstance(verdict, verdicts.Break):
        assert view.round
        broken = replace(
            view.round, phase="broken", cause=verdict.cause, reason=verdict.reason, store=None
        )
        return Publication(broken)
    last = view.round or wire.Round(
        number=0, proposal=0, phase="closed", cause="closed", reason="", leader=view.me
    )
    return Publication(replace(last, phase="closed", cause="closed", reason=verdict.reason))


def refusal(verdict: verdicts.Refuse) -> wire.Left:
    """Return what a leader leaves behind of a member that it takes out of the run."""
    member = verdict.member
    return wire.Left(member.id, member.uid, member.slot, member.name, verdict.cause, verdict.reason)


def _proposal(verdict: verdicts.Propose, view: View, proposal: int) -> Publication:
    ranks = tuple(
        wire.Rank(
            proposal=proposal,
            leader=view.me,
            rank=rank,
            id=member.id,
            uid=member.uid,
            slot=member.slot,
            name=member.name,
            node=member.node,
        )
        for rank, member in enumerate(verdict.roster)
    )
    round_ = wire.Round(
        number=verdict.number,
        proposal=proposal,
        phase="proposed",
        cause=verdict.cause,
        reason=verdict.reason,
        formed=view.round.formed if view.round else 0,
        world_size=len(ranks),
        leader=view.me,
        rank0=verdict.roster[0].id,
        min_nodes=view.bounds.least,
        max_nodes=view.bounds.most,
        expected_nodes=view.expected_nodes,
        step=view.bounds.step,
    )
    chosen = {rank.id for rank in ranks}
    stale = tuple(member for member in {**view.last_ranks, **view.ranks} if member not in chosen)
    return Publication(round_, ranks, stale)


NONCE_BITS: Final = 20


def next_proposal(view: View, last_tried: int, nonce: int) -> int:
    """Return a proposal number that nobody has used, above all that are known.

    Args:
        view: The leader's view.
        last_tried: The last number this leader has used itself, written or not: a write whose
            answer was lost may have left ranks behind.
        nonce: Random; it fills the low bits, so that a number from before the store was emptied
            does not come again: somebody may still hold to an agreement under it.
    """
    known = max((seen.member.acked for seen in view.members), default=0)
    highest = max(view.round.proposal if view.round else 0, known, last_tried)
    return ((highest >> NONCE_BITS) + 1 << NONCE_BITS) | nonce
