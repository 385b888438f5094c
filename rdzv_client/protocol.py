"""How rounds are formed, kept and ended: the leader's decision, and what a member does next (pure).

The participants form rounds among themselves. Each is a record of its own in the store; the live
member with the oldest record leads, and the leader alone writes the round record::

    (none) ──> proposed ──> complete ──> broken ──> proposed ──> complete ...      closed
                  │ ▲          (a round stands)                                  (from anywhere)
                  └─┘ a proposed member was lost or stayed silent: propose again

*Proposed*: the leader has chosen members and ranks. Each of them agrees in its own record; the one
with rank 0 first binds a fresh store and says where it listens. *Complete*: all have agreed, so
each returns from ``next_rendezvous``. *Broken*: somebody was lost, left or came back early, or
somebody new can be admitted; the agents stop their workers and enter ``next_rendezvous`` again.

:func:`decide` is called by whoever leads, whenever something has changed or the time it named has
come. It is a function of a :class:`~rdzv_client.view.View` and a time alone, so that every leader
decides the same. Clocks of different machines are never compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rdzv_client import causes, membership
from rdzv_client.verdicts import (
    Break,
    Close,
    Complete,
    Omit,
    Propose,
    Refuse,
    Verdict,
    Wait,
)
from rdzv_client.view import Seen, View, is_busy
from rdzv_client.wording import bounds, count, names

Rule = Callable[[View, float], Verdict | None]


def decide(view: View, now: float) -> Verdict:
    """Return what the leader does now, and why: the verdict of the first rule that has one."""
    for rule in RULES[view.phase]:
        verdict = rule(view, now)
        if verdict:
            return verdict
    raise AssertionError(f"no rule decides phase {view.phase!r}")


# --- rules: the end ----------------------------------------------------------------------------


def stays_closed(view: View, _now: float) -> Verdict | None:
    return Wait(f"the run is closed: {view.round.reason}" if view.round else "the run is closed")


def operator_closes(view: View, _now: float) -> Verdict | None:
    if view.settings and view.settings.closed is not None:
        return Close(view.settings.closed)
    return None


def member_closes(view: View, _now: float) -> Verdict | None:
    for seen in view.members:
        if seen.member.closes is not None:
            return Close(f"{seen.member.name} closed it: {seen.member.closes}")
    return None


def all_finished(view: View, _now: float) -> Verdict | None:
    if view.round is None or len(view.last_ranks) != view.round.world_size:
        return None
    wanted = {i for i, rank in view.last_ranks.items() if rank.uid not in view.drains}
    if wanted and view.finished >= wanted:
        who = f"all {len(wanted)} members" if len(wanted) > 1 else "the only member"
        return Close(f"{who} finished with success")
    return None


# --- rules: who may take part ------------------------------------------------------------------


def others_refused(view: View, _now: float) -> Verdict | None:
    """Without an operator the first member's bounds count, and all must have been given the same.

    Otherwise members would wait for a number of others that never comes.
    """
    first = view.first.member
    if view.settings or first.operated:
        return None
    for seen in view.members:
        member = seen.member
        if bounds(member) != bounds(first):
            same = "--nnodes" if member.step == first.step else "--nnodes, step"
            return Refuse(
                member,
                f"{member.name} was started with {bounds(member, ' nodes')}, but {first.name} began"
                f" the run with {bounds(first)}: all must be started with the same ({same})",
            )
    return None


def drained_dismissed(view: View, _now: float) -> Verdict | None:
    """Who is to leave is let go as soon as its workers have stopped."""
    for seen in view.members:
        drain = view.drains.get(seen.member.uid)
        if drain and not is_busy(seen.member, view.round):
            return Refuse(seen.member, drain.reason, "drained")
    return None


# --- rules: a standing round -------------------------------------------------------------------


def member_lost(view: View, now: float) -> Verdict | None:
    """A loss by expiry counts only after one uninterrupted lease of contact.

    After an outage of the store all leases run out together, and the members need a moment to
    register again. What the operator or the member itself said counts at once.
    """
    assert view.round
    certain = [rank for rank in view.lost if rank.uid in view.gone or rank.id in view.left]
    if certain:
        return Break(*causes.loss(view, certain))
    missing = len(view.lost) + view.round.world_size - len(view.last_ranks)
    if not missing:
        return None
    settled_at = view.contact_since + view.timing.lease_ttl_s
    if now < settled_at:
        return Wait(f"{count(missing, 'member')} must register again", until=settled_at)
    return Break(*causes.loss(view, view.lost))


def training_stalled(view: View, _now: float) -> Verdict | None:
    """One worker that hangs holds up all, and nobody can tell which: all are stopped."""
    assert view.round
    settings = view.settings
    if settings and settings.stalled_round == view.round.number:
        return Break("stalled", settings.stalled_reason)
    return None


def members_drained(view: View, _now: float) -> Verdict | None:
    """All who are to leave at this moment leave together: one round, however many they are."""
    if causes.draining(view):
        return Break("drain", causes.drain(view))
    return None


def member_came_back(view: View, _now: float) -> Verdict | None:
    back = [r for i, r in view.last_ranks.items() if i in view.live and _is_back(view, i)]
    if back:
        return Break("restart", f"{names(back)} restarted: its workers failed")
    return None


def newcomers_admitted(view: View, now: float) -> Verdict | None:
    """Newcomers gather for one shared window, so that a scale-out is one round and not many.

    Those whom the operator expects are worth a whole last call: each round costs all a restart.
    For the same reason a round may be left to train for a while before it is broken for them.
    Newcomers who do not complete a step are spares until there are enough of them.
    """
    standing = sum(1 for seen in view.busy)
    newcomers = [s for s in view.ready if s.member.id not in view.last_ranks]
    room = view.fitting(standing + len(newcomers)) - standing
    if room <= 0 or view.finished & set(view.last_ranks):
        return None
    window_s = view.timing.admission_window_s
    if view.expected_nodes is not None:
        window_s = max(window_s, view.timing.last_call_s)
    enough = view.step - standing % view.step
    opens_at = sorted(seen.since for seen in newcomers)[enough - 1] + window_s
    if not _all_expected_ready(view, standing + len(newcomers)) and now < opens_at:
        return Wait(f"{count(len(newcomers), 'newcomer')} in the admission window", until=opens_at)
    rested_at = view.round_since + view.timing.admission_interval_s
    if now < rested_at:
        return Wait(f"{count(len(newcomers), 'newcomer')} until the round has trained", rested_at)
    admitted = [seen.member for seen in newcomers[:room]]
    untold = _await_sites(view, newcomers[:room], now)
    return untold or Break("admission", causes.admission(admitted, standing + len(admitted)))


def round_stands(view: View, _now: float) -> Verdict | None:
    assert view.round
    return Wait(f"round {view.round.number} stands with {view.round.world_size} members")


# --- rules: a proposal -------------------------------------------------------------------------


def all_agreed(view: View, _now: float) -> Verdict | None:
    assert view.round
    if not _may_agree(view):
        return None
    roster = [view.live.get(member) for member in view.ranks]
    if any(m is None or m.acked != view.round.proposal or m.finished for m in roster):
        return None
    rank0 = view.live[view.round.rank0]
    return Complete(rank0.store, view.round.reason) if rank0.store else None


def agreement_awaited(view: View, now: float) -> Verdict | None:
    assert view.round
    if not _may_agree(view) or any(i not in view.live for i in view.ranks):
        return None
    silent = [r for i, r in view.ranks.items() if view.live[i].acked != view.round.proposal]
    ends_at = view.round_since + view.timing.agreement_s
    if now < ends_at:
        return Wait(f"waiting for {names(silent)} to agree", until=ends_at)
    ids = frozenset(rank.id for rank in silent) or frozenset([view.round.rank0])
    if ids <= view.silent:
        return None
    return Omit(ids, f"{names(silent)} did not agree within {view.timing.agreement_s:g} s")


def _may_agree(view: View) -> bool:
    """Whether the proposal is as it was made, and nobody in it is to leave by now."""
    assert view.round
    whole = len(view.ranks) == view.round.world_size
    return whole and not any(rank.uid in view.drains for rank in view.ranks.values())


# --- rules: forming ----------------------------------------------------------------------------


def workers_stopping(view: View, now: float) -> Verdict | None:
    """Who is still stopping its workers is waited for, so that one slow node costs one round."""
    deadlines = [
        view.round_since + seen.member.stop_timeout_s + view.timing.stop_grace_s
        for seen in view.busy
    ]
    still = [s.member for s, ends_at in zip(view.busy, deadlines, strict=True) if now < ends_at]
    if still:
        ends_at = max(deadlines)
        return Wait(f"waiting for {names(still)} to stop their workers", until=ends_at)
    return None


def too_few(view: View, _now: float) -> Verdict | None:
    ready = len(view.ready)
    if ready < view.min_nodes:
        return Wait(f"{ready} of at least {view.min_nodes} members are ready")
    return None


def sites_awaited(view: View, now: float) -> Verdict | None:
    """The first round waits to be told where its members run: nobody's workers stand still yet."""
    if view.round and view.round.formed:
        return None
    return _await_sites(view, view.ready, now)


def all_here(view: View, _now: float) -> Verdict | None:
    """Nobody else can come, or those who survived a loss go on without whoever may come."""
    cause, reason = causes.why(view)
    ready = len(view.ready)
    nobody_known = view.round is not None and view.expected_nodes is None
    at_once = cause in {"admission", "drain"} or nobody_known
    if cause in {"lost", "left"}:
        survivors = sum(1 for seen in view.ready if seen.member.id in view.last_ranks)
        at_once = at_once or survivors >= view.min_nodes
    if ready >= view.max_nodes or at_once or _all_expected_ready(view, ready):
        return _propose(view, cause, reason)
    return None


def last_call(view: View, now: float) -> Verdict | None:
    enough_at = sorted(seen.since for seen in view.ready)[view.min_nodes - 1]
    ends_at = enough_at + view.timing.last_call_s
    cause, reason = causes.why(view)
    if now >= ends_at:
        return _propose(view, cause, reason)
    most = view.expected_nodes or view.max_nodes
    return Wait(f"last call: {len(view.ready)} of {most} members are ready", until=ends_at)


_FORMING: Final[tuple[Rule, ...]] = (workers_stopping, too_few, sites_awaited, all_here, last_call)

_CLOSING: Final[tuple[Rule, ...]] = (operator_closes, member_closes)
_PLACES: Final[tuple[Rule, ...]] = (others_refused, drained_dismissed)

RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "none": (*_CLOSING, *_PLACES, *_FORMING),
    "proposed": (*_CLOSING, *_PLACES, all_agreed, agreement_awaited, *_FORMING),
    "complete": (
        *_CLOSING,
        all_finished,
        *_PLACES,
        member_lost,
        training_stalled,
        members_drained,
        member_came_back,
        newcomers_admitted,
        round_stands,
    ),
    "broken": (*_CLOSING, all_finished, *_PLACES, *_FORMING),
    "closed": (stays_closed,),
}


# --- the parts of a verdict --------------------------------------------------------------------


def _propose(view: View, cause: str, reason: str) -> Propose:
    previous = {member: rank.rank for member, rank in view.last_ranks.items()}
    ready = [view.located(seen.member) for seen in view.ready]
    chosen = membership.choose(ready, previous, view.fitting(len(ready)))
    if cause == "admission":
        reason = causes.admission([m for m in chosen if m.id not in previous], len(chosen))
    if cause == "drain":
        reason = causes.drain(view)
    return Propose(membership.rank(chosen, previous), next_number(view), cause, reason)


def next_number(view: View) -> int:
    """One more than any round that anybody knows of, also when the store was emptied."""
    formed = 0
    if view.round:
        proposed = view.phase == "proposed"
        formed = view.round.number - 1 if proposed else view.round.number
    floor = view.settings.round_floor if view.settings else 0
    return max(formed, floor, *(seen.member.last_round for seen in view.members)) + 1


def _is_back(view: View, member: str) -> bool:
    return not is_busy(view.live[member], view.round) and not view.live[member].finished


def _await_sites(view: View, joining: Sequence[Seen], now: float) -> Verdict | None:
    """Where a newcomer runs is told within moments, if at all; ranks depend on it."""
    if view.settings is None or not view.settings.sites:
        return None
    known = view.sites
    untold = [s for s in joining if not (s.member.topology or s.member.node in known)]
    ends_at = max((seen.since for seen in untold), default=now) + view.timing.site_s
    if not untold or now >= ends_at:
        return None
    who = names(seen.member for seen in untold)
    return Wait(f"waiting to be told where these run: {who}", until=ends_at)


def _all_expected_ready(view: View, here: int) -> bool:
    """Whether nobody who is expected could make the round larger."""
    expected = view.expected_nodes
    return expected is not None and view.fitting(here) >= view.fitting(expected)
