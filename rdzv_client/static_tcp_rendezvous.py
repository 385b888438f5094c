"""The backend ``static``: who takes part, and as which rank, is known beforehand.

Rank 0 hosts a ``TCPStore`` at the endpoint; the others are its clients. There is one round.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from torch.distributed import DistError, PrefixStore, Store, TCPStore

from rdzv_client import options
from rdzv_client.api import (
    RendezvousConnectionError,
    RendezvousHandler,
    RendezvousInfo,
    RendezvousParameters,
    RendezvousStoreInfo,
)
from rdzv_client.utils import parse_rendezvous_endpoint

__all__ = ["StaticTCPRendezvous", "create_rdzv_handler"]

log = logging.getLogger(__name__)

_DEFAULT_TIMEOUT_S = 600
_NO_PORT = -1


class StaticTCPRendezvous(RendezvousHandler):
    """Gives every node the rank it was started with, and all the same store.

    Args:
        master_addr: The host of rank 0.
        master_port: The port there at which the store listens.
        rank: This node's rank.
        world_size: How many nodes there are.
        run_id: The id of the run, under which its keys stand in the store.
        timeout: How long to wait for the store, and for its answers, in seconds.
    """

    def __init__(  # noqa: PLR0917 - torch has them in this order
        self,
        master_addr: str,
        master_port: int,
        rank: int,
        world_size: int,
        run_id: str,
        timeout: int,
    ) -> None:
        self.master_addr = master_addr
        self.master_port = master_port
        self.rank = rank
        self.world_size = world_size
        self.run_id = run_id
        self.timeout = timedelta(seconds=timeout)
        self._store: Store | None = None

    def get_backend(self) -> str:
        """Return ``static``."""
        return "static"

    @property
    def use_agent_store(self) -> bool:
        """True: the workers use the same store."""
        return True

    def next_rendezvous(self) -> RendezvousInfo:
        """Connect to the store, the first time; as rank 0, host it.

        Raises:
            RendezvousConnectionError: the store cannot be reached, or not be hosted.
        """
        if self._store is None:
            self._store = self._open_store()
        return RendezvousInfo(
            PrefixStore(self.run_id, self._store),
            self.rank,
            self.world_size,
            RendezvousStoreInfo(self.master_addr, self.master_port),
        )

    def _open_store(self) -> Any:
        is_master = self.rank == 0
        place = f"{self.master_addr}:{self.master_port}"
        log.info("Rank %d %s the store at %s.", self.rank, "hosts" if is_master else "uses", place)
        try:
            return TCPStore(
                self.master_addr,
                self.master_port,
                self.world_size,
                is_master,
                self.timeout,
                multi_tenant=True,
            )
        except DistError as error:
            fault = "be hosted" if is_master else "be reached"
            raise RendezvousConnectionError(
                f"The store of the static rendezvous cannot {fault} at {place}: {error}"
            ) from error

    def is_closed(self) -> bool:
        """Return False: it is never closed."""
        return False

    def set_closed(self) -> None:
        """Do nothing: it is never closed."""

    def num_nodes_waiting(self) -> int:
        """Return 0: all nodes were there from the start."""
        return 0

    def get_run_id(self) -> str:
        """Return the id of the run."""
        return self.run_id

    def shutdown(self) -> bool:
        """Return True: the workers may still need the store."""
        return True


def create_rdzv_handler(params: RendezvousParameters) -> RendezvousHandler:
    """Make a handler of ``params.max_nodes`` nodes.

    Args:
        params: The endpoint is ``HOST:PORT`` of rank 0. Of the options, ``rank`` is this node's
            rank, and ``timeout`` is in seconds (600).

    Raises:
        ValueError: the rank, the host or the port is missing, a value is not allowed, or an option
            that nobody reads.
    """
    options.refuse_unknown(params.config, ("rank", "timeout"))
    rank = params.get_as_int("rank")
    if rank is None:
        raise ValueError(
            "rank is absent in RendezvousParameters.Try add --node-rank to the cmd request"
        )
    if not 0 <= rank < params.max_nodes:
        raise ValueError(f"rank {rank} must be from 0 to {params.max_nodes - 1}: --node-rank")
    master_addr, master_port = _master(params.endpoint)
    timeout = params.get_as_int("timeout", _DEFAULT_TIMEOUT_S)
    if timeout is None or timeout <= 0:
        raise ValueError(f"the rendezvous option timeout={timeout} must be positive, in seconds")
    return StaticTCPRendezvous(
        master_addr, master_port, rank, params.max_nodes, params.run_id, timeout
    )


def _master(endpoint: str) -> tuple[str, int]:
    """Return host and port of rank 0; both must be given."""
    if not (endpoint or "").strip():
        raise ValueError(
            "endpoint is absent in RendezvousParameters. "
            "Try add --master-port and --master-addr to the cmd request"
        )
    master_addr, master_port = parse_rendezvous_endpoint(endpoint, _NO_PORT)
    if master_port == _NO_PORT:
        raise ValueError(
            f"Port is absent in endpoint: {endpoint}. Try launching with --master-port"
        )
    return master_addr, master_port
