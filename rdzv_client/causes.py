"""Why a round is formed, or the last one broken: in one word and in a sentence (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from rdzv_client import wire
from rdzv_client.view import View
from rdzv_client.wording import count, names


def why(view: View) -> tuple[str, str]:
    """The cause of the round to come: a loss outweighs the restart that it brought about.

    Not so one that comes of stopping workers that hung.
    """
    if view.round is None:
        return "start", f"{count(view.fitting(len(view.ready)), 'member')} joined"
    if view.lost and view.round.cause not in {"left", "stalled"}:
        return loss(view, view.lost)
    return view.round.cause, view.round.reason


def loss(view: View, lost: Sequence[wire.Rank]) -> tuple[str, str]:
    """How these members went: all of them by their own leave, or some without a word."""
    if not lost:
        return "lost", "a member was lost"
    left = [view.left[rank.id] for rank in lost if rank.id in view.left]
    if len(left) == len(lost):
        return "left", f"{names(lost)} left: {left[0].reason}"
    gone = [view.gone[rank.uid].reason for rank in lost if rank.uid in view.gone]
    reason = gone[0] if gone else f"no sign of life for {view.timing.lease_ttl_s:g} s"
    return "lost", f"{names(lost)} lost: {reason}"


def admission(admitted: Sequence[wire.Member], world_size: int) -> str:
    """Who joined in the end: a newcomer may be lost before its round is formed."""
    if not admitted:
        return "those who had joined left again"
    return f"{names(admitted)} joined: {world_size - len(admitted)} -> {world_size} members"


def draining(view: View) -> list[wire.Rank]:
    """Members of the last round that are to leave, or have left; not those who finished."""
    ranks = view.last_ranks.values()
    return [rank for rank in ranks if rank.uid in view.drains and rank.id not in view.finished]


def drain(view: View) -> str:
    """Who leaves because the operator asked for it, and why it did."""
    leaving = draining(view)
    if not leaving:
        return "those who were to leave have left"
    reason = view.drains[leaving[0].uid].reason
    return f"{names(leaving)} {'leave' if leaving[1:] else 'leaves'}: {reason}"
