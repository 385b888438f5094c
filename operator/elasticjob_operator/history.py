"""Rounds as the status tells them: which one stands, who is in it, what came before and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from elasticjob_operator import api
from elasticjob_operator.observed import FormedRound, Observed, StoreView, run_id
from elasticjob_operator.provisioning import addresses
from elasticjob_operator.timestamps import stamp
from rdzv_client import wire

State = Literal["Unknown", "Waiting", "Forming", "Formed", "Broken", "Closed"]

_STATES: dict[str, State] = {
    "proposed": "Forming",
    "complete": "Formed",
    "broken": "Broken",
    "closed": "Closed",
}


def unrecorded(observed: Observed) -> list[FormedRound]:
    """Return the rounds that were formed since the status was last written, oldest first."""
    last = observed.status.rendezvous.round
    return [formed for formed in observed.store.formed if formed.record.number > last]


def state(store: StoreView) -> State:
    """Return the state of the rendezvous in the words of the status."""
    if not store.reachable:
        return "Unknown"
    return _STATES[store.round.phase] if store.round else "Waiting"


def record(observed: Observed) -> api.RendezvousStatus:
    """Return ``status.rendezvous`` with the new rounds taken in."""
    told, store, news = observed.status.rendezvous, observed.store, unrecorded(observed)
    records = [_record(formed, observed.spec) for formed in news]
    told = told.model_copy(
        update={
            "history": (*told.history, *records)[-api.HISTORY_ROUNDS :],
            "run_id": run_id(observed.job),
            "endpoint": addresses.worker_endpoint(observed.job),
            "state": state(store),
            "revision": max([told.revision, *(formed.revision for formed in news)]),
        }
    )
    if news:
        told = told.model_copy(update=_standing(news[-1], observed.spec))
    return told.model_copy(update={"waiting": _waiting(store, told)})


def _waiting(store: StoreView, told: api.RendezvousStatus) -> int:
    """Return how many are there and not in the last round."""
    if not store.reachable:
        return 0
    here = {member.name for member in store.members}
    inside = last_members(store, told)
    if len(inside) < told.workers:  # it is not known of all who is
        return max(0, len(here) - told.workers)
    return len(here - inside)


def last_ranks(store: StoreView, told: api.RendezvousStatus) -> dict[str, int]:
    """Return the pods of the last round: all where it was seen formed, else those listed."""
    for formed in reversed(store.formed):
        if formed.record.number == told.round:
            return {rank.name: rank.rank for rank in formed.ranks}
    return {member.pod: member.rank for member in told.members}


def last_members(store: StoreView, told: api.RendezvousStatus) -> set[str]:
    """Return the same without their ranks."""
    return set(last_ranks(store, told))


def failed_rounds(observed: Observed) -> list[FormedRound]:
    """Return the new rounds that were formed because training failed while all peers lived.

    Or because it stood still, whatever became of those who were stopped then.

    When a member of the round before is missing, its loss is taken for the cause: peers of a lost
    worker fail within a second, and may be heard first.
    """
    before = last_members(observed.store, observed.status.rendezvous)
    failed = []
    for formed in unrecorded(observed):
        now = {rank.name for rank in formed.ranks}
        if is_stalled(formed) or (formed.record.cause == "restart" and before <= now):
            failed.append(formed)
        before = now
    return failed


def is_stalled(formed: FormedRound) -> bool:
    """Return whether the round was formed because training stood still in the one before."""
    return formed.record.cause == "stalled"


def restarted(formed: FormedRound) -> list[str]:
    """Return the members whose failed workers this round restarted, as its reason names them."""
    if is_stalled(formed):
        return []
    named = set(re.split(r"[ ,]+", formed.record.reason))
    return [rank.name for rank in formed.ranks if rank.name in named]


def world_size(spec: api.ElasticJobSpec, workers: int) -> int | None:
    """Return the number of processes, where it does not depend on the machines."""
    each = processes(spec)
    return workers * each if each else None


def processes(spec: api.ElasticJobSpec) -> int | None:
    """Return the processes per worker, where that does not depend on the machine."""
    text = str(spec.nproc_per_node)
    if text.isdigit():
        return int(text)
    gpus = _gpus(spec)
    return gpus if gpus and text in {"auto", "gpu"} else None


def _record(formed: FormedRound, spec: api.ElasticJobSpec) -> api.RoundRecord:
    round_ = formed.record
    few = round_.world_size <= api.LISTED_HISTORY_MEMBERS
    return api.RoundRecord(
        round=round_.number,
        cause=round_.cause,
        reason=round_.reason,
        workers=round_.world_size,
        world_size=world_size(spec, round_.world_size),
        seconds=round(round_.seconds, 3),
        formed_at=stamp(formed.at, "milliseconds"),
        members=tuple(rank.name for rank in formed.ranks) if few else (),
    )


def _standing(formed: FormedRound, spec: api.ElasticJobSpec) -> dict[str, object]:
    return {
        "round": formed.record.number,
        "workers": formed.record.world_size,
        "world_size": world_size(spec, formed.record.world_size),
        "members": _members(formed.ranks),
    }


def _members(ranks: Iterable[wire.Rank]) -> tuple[api.RoundMember, ...]:
    listed = sorted(ranks, key=lambda rank: rank.rank)[: api.LISTED_MEMBERS]
    return tuple(api.RoundMember(pod=r.name, node=r.node, rank=r.rank) for r in listed)


def _gpus(spec: api.ElasticJobSpec) -> int | None:
    name = api.training_container(spec)
    for container in spec.template["spec"]["containers"]:
        if container["name"] == name:
            limits = (container.get("resources") or {}).get("limits") or {}
            gpus = str(limits.get("nvidia.com/gpu", ""))
            return int(gpus) if gpus.isdigit() else None
    return None
