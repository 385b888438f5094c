"""What one member does next, from the round record and its own place in it (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from rdzv_client import wire
from rdzv_client.wording import count


@dataclass(frozen=True)
class Await:
    """Nothing can be done before something changes.

    ``as_spare`` says that a full round stands: the member may wait for as long as that lasts.
    """

    reason: str
    as_spare: bool = False


@dataclass(frozen=True)
class Agree:
    """Agree to the proposal; with rank 0, first bind a store for it."""

    proposal: int
    rank: int


@dataclass(frozen=True)
class Enter:
    """The round stands and this member is in it."""

    round: wire.Round
    rank: int
    store: wire.StoreAddress


@dataclass(frozen=True)
class Rejoin:
    """What this member agreed to is void: withdraw the agreement.

    Until it does, the leader takes it for one that is still stopping its workers.
    """

    reason: str


@dataclass(frozen=True)
class Closed:
    """The run is over."""

    reason: str


Step = Await | Agree | Enter | Rejoin | Closed


def follow(me: wire.Member, round_: wire.Round | None, rank: wire.Rank | None) -> Step:
    """Return the member's next step inside ``next_rendezvous``.

    Args:
        me: The member's own record as it last wrote it.
        round_: The round record, if there is one.
        rank: The member's own rank record, if there is one.
    """
    if round_ is None:
        return Await("no round was proposed yet")
    if round_.phase == "closed":
        return Closed(round_.reason)
    if me.acked == round_.formed != 0 and round_.phase != "complete":
        return Rejoin(f"round {round_.number} ended before this member heard of it")
    if not has_place(round_, rank):
        return _outside(me, round_)
    assert rank
    if round_.phase == "proposed" and me.acked != round_.proposal:
        return Agree(round_.proposal, rank.rank)
    if round_.phase == "complete" and me.acked == round_.proposal:
        assert round_.store
        return Enter(round_, rank.rank, round_.store)
    if round_.phase == "proposed":
        return Await(f"round {round_.number} waits for all {round_.world_size} members to agree")
    return Await(f"round {round_.number} has ended; the next one is being formed")


def _outside(me: wire.Member, round_: wire.Round) -> Step:
    if me.acked not in {0, round_.proposal}:
        return Rejoin("what this member agreed to was given up")
    if round_.phase == "complete":
        members = count(round_.world_size, "member")
        full = round_.world_size + round_.step > round_.max_nodes > 0
        joins = f"waiting until {round_.step} can join" if round_.step > 1 else "waiting to join"
        what = "as many as there may be; waiting as a spare" if full else joins
        words = f"round {round_.number} stands with {members}{',' if full else ';'} {what}"
        return Await(words, as_spare=True)
    return Await(f"the round after {round_.number} is being formed")


def has_place(round_: wire.Round, rank: wire.Rank | None) -> bool:
    """Whether the rank record belongs to this very proposal."""
    return rank is not None and rank.proposal == round_.proposal and rank.leader == round_.leader


def is_disturbed(entered: wire.Round, now: wire.Round | None) -> bool:
    """Whether the round a member works in has ended, so that its workers must be restarted.

    A closed run disturbs nobody who works, and neither does a store that has forgotten the round
    (the members bring it back).
    """
    if now is None or now.phase == "closed" or now.proposal < entered.proposal:
        return False
    return now.proposal != entered.proposal or now.phase != "complete"
