"""A worker that trains nothing and needs no torch: it takes part in one round and ends.

    python -m rdzv_client.rehearsal

In a pod of an ElasticJob it reads what torchrun would (``PET_*``), meets the others in the job's
etcd, and says which rank it got. So a cluster can be tried before there is an image with torch.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from time import monotonic

from rdzv_client import etcd_connection, identity, k8s, options, participation, wire
from rdzv_client.backends.etcd import EtcdBackend
from rdzv_client.session import Session

log = logging.getLogger(__name__)

_RECHECK_S = 1.0


class RehearsalFailed(Exception):
    """There was no place in a round; the text says why."""


def main() -> int:
    """Take part in a round; return the exit status."""
    k8s.show_log()
    try:
        take_part(os.environ)
    except (KeyError, ValueError, RehearsalFailed) as error:
        log.error("%s", error)  # noqa: TRY400 - the sentence says it all
        return 1
    return 0


def take_part(environ: Mapping[str, str]) -> wire.Rank:
    """Wait for a round, and stay until all its members have ended; return one's own rank.

    Raises:
        RehearsalFailed: no round formed in time, or this member may not take part.
        KeyError: a variable is missing.
        ValueError: one is not as it must be.
    """
    config = dict(pair.split("=", 1) for pair in environ["PET_RDZV_CONF"].split(",") if pair)
    chosen = options.parse(config)
    least, most = map(int, environ["PET_NNODES"].split(":"))
    record = identity.of_pod(environ, least, most, None, config)
    keys, endpoint = wire.Keys(environ["PET_RDZV_ID"]), environ["PET_RDZV_ENDPOINT"]
    k8s.etcd_endpoints(endpoint)
    client = etcd_connection.connect(endpoint, {}, environ, chosen.read_timeout)
    backend = EtcdBackend(client, keys, record.id, record.slot, chosen.lease_ttl)
    session = Session(backend, keys, record, chosen.timing)
    session.start()
    with ExitStack() as stores:
        rank = _enter(session, stores, monotonic() + chosen.join_timeout)
        _finish(session, chosen.close_timeout)
    return rank


def _enter(session: Session, stores: ExitStack, deadline: float) -> wire.Rank:
    """Agree to whatever round is proposed, until one stands."""
    while True:
        if session.evicted is not None:
            raise RehearsalFailed(session.evicted)
        step = participation.follow(session.record, session.round, session.rank)
        match step:
            case participation.Enter(round=formed, rank=rank):
                log.info("Round %d: rank %d of %d.", formed.number, rank, formed.world_size)
                assert session.rank
                return session.rank
            case participation.Agree(proposal=proposal, rank=rank):
                address = _listen(session.record.addr, stores) if rank == 0 else None
                _agree(session, proposal, address)
            case participation.Rejoin():
                session.write(lambda record: replace(record, acked=0, store=None))
            case participation.Closed(reason=reason) | participation.Await(reason=reason):
                over = isinstance(step, participation.Closed) or monotonic() > deadline
                if over:
                    raise RehearsalFailed(f"no place in a round: {reason}")
                session.wait(partial(_moved, session, step), _RECHECK_S)


def _moved(session: Session, step: participation.Step) -> bool:
    now = participation.follow(session.record, session.round, session.rank)
    return session.evicted is not None or now != step


def _agree(session: Session, proposal: int, address: wire.StoreAddress | None) -> None:
    session.write(lambda record: replace(record, acked=proposal, store=address))


def _listen(host: str, stores: ExitStack) -> wire.StoreAddress:
    """Stand in for rank 0's store: a port that is really there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = stores.enter_context(socket.create_server((host, 0), family=family))
    return wire.StoreAddress(host, listening.getsockname()[1])


def _finish(session: Session, limit_s: float) -> None:
    """End with success, together with the others, and leave."""
    session.write(lambda record: replace(record, finished=True))
    session.wait(lambda: session.round is not None and session.round.phase == "closed", limit_s)
    me = session.record
    left = wire.Left(me.id, me.uid, me.slot, me.name, "finished", "its part ended with success")
    session.leave(left, limit_s)


if __name__ == "__main__":
    sys.exit(main())
