"""Rounds over any backend: torch's names and arguments, and this library's protocol inside.

A backend is anything with torch's published extension point, ``get_state`` and ``set_state``
(:class:`RendezvousBackend`). One that offers more can be used better: with a property ``keys`` (the
run's :class:`rdzv_client.wire.Keys`) and a method ``open_member(record, options)`` that returns the
port of the protocol (:class:`rdzv_client.backends.Backend`), as this library's own for etcd and
TCPStore have, ``get_state`` and ``set_state`` are not called.
"""

from __future__ import annotations

import itertools
import os
import socket
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from torch.distributed import PrefixStore, Store
from torch.distributed.elastic.events import NodeState, construct_and_record_rdzv_event
from torch.distributed.elastic.rendezvous import api as torch_api

from rdzv_client import api, identity, options, participation, wire
from rdzv_client.backends import Backend
from rdzv_client.backends.blob import Alone, BlobBackend
from rdzv_client.handler import ProtocolHandler
from rdzv_client.rendezvous_settings import (
    RendezvousSettings,
    RendezvousTimeout,
    arguments_of,
    options_of,
)
from rdzv_client.round_store import Connection, RoundOverError, Standing
from rdzv_client.session import Session

__all__ = [
    "DynamicRendezvousHandler",
    "RendezvousBackend",
    "RendezvousSettings",
    "RendezvousTimeout",
    "create_handler",
]

Token = Any
"""What a backend fences writes with; nobody else looks into it."""


class RendezvousBackend(ABC):
    """Holds one value for the rendezvous, and lets it be changed by compare-and-set."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The backend's name, as users ask for it."""

    @abstractmethod
    def get_state(self) -> tuple[bytes, Token] | None:
        """Return the value and its token; None when there is none.

        Raises:
            RendezvousConnectionError: the backend cannot be reached.
            RendezvousStateError: what it holds cannot be read.
        """

    @abstractmethod
    def set_state(
        self, state: bytes, token: Token | None = None
    ) -> tuple[bytes, Token, bool] | None:
        """Set the value, if nobody else has changed it.

        Args:
            state: The new value.
            token: Of the value to be replaced, from an earlier call; None to set the value only if
                there is none.

        Returns:
            The value that stands there now, its token, and whether it is the new one. None when
            that is not known.

        Raises:
            RendezvousConnectionError: the backend cannot be reached.
            RendezvousStateError: what it holds cannot be read.
        """


@dataclass(frozen=True, order=True)
class _NodeDesc:
    """A node, for people and events: address, process, and which handler of it."""

    addr: str
    pid: int
    local_id: int

    def __repr__(self) -> str:
        return f"{self.addr}_{self.pid}_{self.local_id}"


@dataclass
class _NodeDescGenerator:
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def generate(self, local_addr: str | None = None) -> _NodeDesc:
        return _NodeDesc(local_addr or socket.getfqdn(), os.getpid(), next(self._ids))


class DynamicRendezvousHandler(ProtocolHandler):
    """Forms rounds over any :class:`RendezvousBackend`; see :meth:`from_backend`.

    Args:
        node: This node.
        settings: What the handler is made with.
        backend_name: The backend's name.
        session: This member's seat in the run; the handler starts it.
        chosen: How long to wait for what.
        store: What the agents exchange their ranks through, under a prefix that is new in every
            round; None: a TCPStore that is new in every round, on the node with rank 0.
    """

    _node_desc_generator: ClassVar = _NodeDescGenerator()

    def __init__(
        self,
        node: _NodeDesc,
        settings: RendezvousSettings,
        backend_name: str,
        session: Session,
        chosen: options.Options,
        *,
        store: Store | None = None,
    ) -> None:
        super().__init__(backend_name, settings.run_id, session, chosen)
        self._this_node, self._settings = node, settings
        self._store = store

    @classmethod
    def from_backend(  # noqa: PLR0917 - torch's signature
        cls,
        run_id: str,
        store: Store | None,
        backend: RendezvousBackend,
        min_nodes: int,
        max_nodes: int,
        local_addr: str | None = None,
        timeout: RendezvousTimeout | None = None,
        keep_alive_interval: int = 5,
        keep_alive_max_attempt: int = 3,
        cas_backoff_max_seconds: float = 0.0,
        *,
        endpoint: str = "",
        **config: Any,
    ) -> DynamicRendezvousHandler:
        """Create a handler; nothing is asked of the backend yet.

        Args:
            run_id: The run.
            store: What to return with each round, under a prefix of the round's own. Where it is
                None, or the backend is this library's on etcd or TCPStore, a TCPStore on the node
                with rank 0 is returned, new in every round; the workers use that in any case.
            backend: Where the nodes meet.
            min_nodes: Least nodes of a round.
            max_nodes: Most nodes of a round.
            local_addr: Where the other nodes reach this one; without it, the address from which
                this host reaches the endpoint.
            timeout: How long to wait for what.
            keep_alive_interval: With the next, how long a silent node counts as alive: their
                product in seconds, at least 2. With both as they are by default it is 5 s.
            keep_alive_max_attempt: The same.
            cas_backoff_max_seconds: The longest pause before a write that another one beat is tried
                again; 0 leaves it to the backend.
            endpoint: Where the backend is; without it, somewhere beyond this host.
            config: Further options by name (:class:`rdzv_client.options.Options`); ``slot``, the
                node's index, ``topology``, where it runs, and ``step``, of which a round's number
                of nodes is a multiple (:class:`rdzv_client.wire.Member`).

        Raises:
            ValueError: an argument or option that is not allowed.
        """
        lease_s = options.lease_of(keep_alive_interval, keep_alive_max_attempt)
        settings = RendezvousSettings(
            run_id,
            min_nodes,
            max_nodes,
            timeout or RendezvousTimeout(),
            timedelta(seconds=options.number(keep_alive_interval)),
            int(keep_alive_max_attempt),
            cas_backoff_max_seconds,
        )
        chosen = options.parse({**options_of(settings, lease_s), **config})
        record = identity.identify(
            os.environ,
            min_nodes=min_nodes,
            max_nodes=max_nodes,
            local_addr=local_addr,
            endpoint=endpoint,
            config=config,
        )
        member, keys = _open(backend, run_id, record, chosen)
        session = Session(member, keys, record, chosen.timing)
        node = cls._node_desc_generator.generate(record.addr)
        shared = store if isinstance(member, BlobBackend) else None
        return cls(node, settings, backend.name, session, chosen, store=shared)

    @property
    def settings(self) -> RendezvousSettings:
        """What the handler was made with."""
        return self._settings

    @property
    def use_agent_store(self) -> bool:
        """Whether the workers use the store of their round.

        They do, unless TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1: then rank 0's worker makes its own.
        """
        return os.environ.get("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "0") != "1"

    def next_rendezvous(self) -> api.RendezvousInfo:
        """Take part in the next round, and return when it stands.

        The same as :meth:`ProtocolHandler.next_rendezvous`, with one addition: without a shared
        store, where the workers meet is agreed upon in the store of the round.
        """
        while True:
            info = super().next_rendezvous()
            if self.use_agent_store:
                return info
            try:
                return self._with_own_address(info)
            except RoundOverError:
                continue  # somebody was lost meanwhile; the agent's workers have not started yet

    def _connect(self, step: participation.Enter) -> Connection | Standing:
        if self._store is None:
            return super()._connect(step)
        prefix = f"torch.rendezvous.{self._run_id}.{step.round.number}"
        return Standing(PrefixStore(prefix, self._store))

    def _with_own_address(self, info: api.RendezvousInfo) -> api.RendezvousInfo:
        bootstrap = api.RendezvousStoreInfo.build(
            info.rank, info.store, local_addr=self._session.record.addr
        )
        return api.RendezvousInfo(info.store, info.rank, info.world_size, bootstrap)


def _open(
    backend: RendezvousBackend, run_id: str, record: wire.Member, chosen: options.Options
) -> tuple[Backend, wire.Keys]:
    """The protocol over this backend: the backend's own way, or by its one value."""
    if open_member := getattr(backend, "open_member", None):
        return open_member(record, chosen), backend.keys  # type: ignore[attr-defined]
    keys = wire.Keys(run_id)
    state = Alone(backend) if record.max_nodes == 1 else backend
    # A backend that was written for torch raises torch's error, of which ours is a subclass.
    return BlobBackend(state, keys, record, chosen, (torch_api.RendezvousStateError,)), keys


def create_handler(
    store: Store | None, backend: RendezvousBackend, params: api.RendezvousParameters
) -> DynamicRendezvousHandler:
    """Create a handler from parameters.

    Options of ``params.config``: numbers, their text, or timedeltas, in seconds unless said
    otherwise:

    ===========================  ===========================================================
    option                       meaning
    ===========================  ===========================================================
    ``join_timeout``             for a place in a round (600)
    ``last_call_timeout``        for more nodes, once there are enough (30)
    ``close_timeout``            for the backend to take note that this node leaves (5)
    ``heartbeat_timeout``        for the backend to acknowledge a sign of life (5)
    ``keep_alive_interval``      with the next, how long a silent node counts as alive
    ``keep_alive_max_attempt``   how often the interval may pass; a number
    ``cas_backoff_max_seconds``  the longest pause before a write is tried again
    ===========================  ===========================================================

    and those of :class:`rdzv_client.options.Options`. A backend that reads others names them in an
    attribute ``options``; to one that has none, all are left that do not look like one of these
    misspelt.

    Args:
        store: See :meth:`DynamicRendezvousHandler.from_backend`.
        backend: Where the nodes meet.
        params: The run, its bounds and its options.

    Raises:
        ValueError: an argument or option that is not allowed.
    """
    try:
        return _create(store, backend, params)
    except Exception as error:
        construct_and_record_rdzv_event(
            run_id=params.run_id,
            message=f"{type(error).__name__}: {error}",
            node_state=NodeState.FAILED,
            hostname=params.local_addr or socket.gethostname(),
        )
        raise


def _create(
    store: Store | None, backend: RendezvousBackend, params: api.RendezvousParameters
) -> DynamicRendezvousHandler:
    ours = options.select(params.config, getattr(backend, "options", None))
    return DynamicRendezvousHandler.from_backend(
        params.run_id,
        store,
        backend,
        params.min_nodes,
        params.max_nodes,
        params.local_addr,
        endpoint=params.endpoint,
        **arguments_of(ours),
    )
