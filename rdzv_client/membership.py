"""Who is in a round, and with which rank (pure).

Members of the last round come first, in the order of their ranks, then newcomers, the oldest first;
those beyond the maximum, or beyond a whole step, are spares. Who stays keeps its rank as far as the
world still has it, so that a change of one member moves as few others as possible. Rank 0 moves
only when it left, and then to a member that stays if there is one: scripts commonly read their
state on rank 0.

Where members say where they run, those of a rack, and the racks of a zone, get adjacent ranks: what
the ranks say to their neighbours stays near. The part with rank 0 comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rdzv_client import wire


def choose(
    ready: Sequence[wire.Member], previous: Mapping[str, int], nodes: int
) -> tuple[wire.Member, ...]:
    """Return those who are in the next round, at most ``nodes`` of them.

    Args:
        ready: Live members that wait for a round, the oldest record first.
        previous: Member id to rank in the last round.
        nodes: How many members the round is to have.
    """
    stayers = sorted((m for m in ready if m.id in previous), key=lambda m: previous[m.id])
    newcomers = [m for m in ready if m.id not in previous]
    return tuple([*stayers, *newcomers][:nodes])


def rank(chosen: Sequence[wire.Member], previous: Mapping[str, int]) -> tuple[wire.Member, ...]:
    """Return the chosen in the order of their ranks, 0 to n-1.

    Args:
        chosen: The members of the round, stayers first, as :func:`choose` returns them.
        previous: Member id to rank in the last round.
    """
    seated = _seat(chosen, previous)
    return _group(seated) if any(member.topology for member in chosen) else seated


def _group(seated: Sequence[wire.Member]) -> tuple[wire.Member, ...]:
    """Bring together what runs together, in the order in which each part first appears."""
    parts = [tuple(member.topology.split("/")) for member in seated]
    first: dict[tuple[str, ...], int] = {}
    for seat, part in enumerate(parts):
        for depth in range(1, len(part) + 1):
            first.setdefault(part[:depth], seat)

    def place(seat: int) -> list[int]:
        part = parts[seat]
        return [first[part[:depth]] for depth in range(1, len(part) + 1)]

    return tuple(seated[seat] for seat in sorted(range(len(seated)), key=place))


def _seat(chosen: Sequence[wire.Member], previous: Mapping[str, int]) -> tuple[wire.Member, ...]:
    """Seat stayers where they were, as far as that place still exists, then newcomers."""
    size = len(chosen)
    stayers = [member for member in chosen if member.id in previous]
    places = {previous[m.id]: m for m in stayers if previous[m.id] < size}
    if stayers and 0 not in places:
        heir = stayers[0]
        places.pop(previous[heir.id], None)
        places[0] = heir
    seated = {member.id for member in places.values()}
    movers = iter(
        sorted(
            (member for member in chosen if member.id not in seated),
            key=lambda member: _order(member, previous),
        )
    )
    return tuple(places[i] if i in places else next(movers) for i in range(size))


def _order(member: wire.Member, previous: Mapping[str, int]) -> tuple[int, int, str]:
    """Stayers by their old rank, then newcomers by slot, those without a slot last."""
    if member.id in previous:
        return (0, previous[member.id], member.id)
    slot = wire.MAX_NODES if member.slot is None else member.slot
    return (1, slot, member.id)
