"""The sixteen situations, each with what a rendezvous should do in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.scoreboard import library, machines, membership, outages
from benchmarks.scoreboard.contenders import Contender
from benchmarks.scoreboard.outcome import Outcome


@dataclass(frozen=True)
class Situation:
    """One situation: how it is played, and when the play is won.

    ``stores`` are the kinds of stores it makes sense with, of our contenders.
    """

    name: str
    title: str
    play: Callable[[Contender], Outcome]
    target: str
    stores: tuple[str, ...] = ("etcd", "c10d")


SITUATIONS: Final = (
    Situation("S1", "scale-up, rank 0 stays", membership.scale_up, "one master, < 2 s"),
    Situation("S2", "rank 0 lost, two survivors", membership.rank0_lost, "the same live master"),
    Situation("S3", "newcomer's address is smaller", membership.smaller_address, "one master"),
    Situation("S4", "a worker restarts, one is late", membership.worker_restarts, "1 restart"),
    Situation("S5", "peer lost, collective hangs", membership.peer_lost, "<= lease, 0 restarts"),
    Situation("S6", "the store's host is lost", outages.store_lost, "the job goes on"),
    Situation("S7", "the store is frozen", outages.store_frozen, "agents keep watch"),
    Situation("S8", "a late joiner gives up", membership.late_joiner, "the others go on"),
    Situation("S9", "a clock is 20 s ahead", machines.clock_off, "a steady round"),
    Situation("S10", "hostile state in the store", library.hostile_state, "refused"),
    Situation("S11", "a spare is not needed", membership.spare_not_needed, "exit 0"),
    Situation("S12", "other min:max", membership.other_bounds, "an error that says so"),
    Situation("S13", "own name not resolvable", machines.no_name, "trains"),
    Situation("S14", "the id is used again", outages.id_used_again, "a live master, leases"),
    Situation("S15", "get among many keys", library.store_of_many_keys, "the same", ("etcd",)),
    Situation("S16", "prefix without a slash", library.prefix_without_slash, "works", ("etcd",)),
)
