"""The names of torch's oldest etcd rendezvous, over this library's protocol on etcd v3.

What a user sees is as documented there: bounds, last call, a store in etcd for each round, no store
that agents share with their workers. The protocol is that of all other backends, so nodes that are
lost are noticed, and a node that leaves does not close the run for the others.
"""

from __future__ import annotations

import functools
import json
import os
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from rdzv_client import (
    api,
    etcd3_adapter,
    etcd_connection,
    identity,
    options,
    participation,
    wire,
)
from rdzv_client.backends.etcd import EtcdBackend
from rdzv_client.backends.run_lease import RunLease
from rdzv_client.etcd_round_keys import EtcdRoundKeys
from rdzv_client.etcd_store import EtcdStore, EtcdStoreTimeout, EtcdStoreUnavailable
from rdzv_client.handler import ProtocolHandler
from rdzv_client.options import Options
from rdzv_client.round_store import RoundOverError, RoundStore, Standing
from rdzv_client.session import Session

__all__ = [
    "EtcdRendezvous",
    "EtcdRendezvousHandler",
    "EtcdRendezvousRetryImmediately",
    "EtcdRendezvousRetryableFailure",
    "create_rdzv_handler",
]

_OPTIONS: Final = frozenset({"timeout", "last_call_timeout", "etcd_prefix", "read_timeout"})
_DEFAULT_TIMEOUT: Final = 600
_DEFAULT_LAST_CALL_TIMEOUT: Final = 30
_DEFAULT_PREFIX: Final = "/torchelastic/p2p"

# Seconds. The run's own is used; torch's state machine, which the others belong to, is not.
CONST_ETCD_SETUP_TTL = 5
CONST_ETCD_FROZEN_TTL = 10
CONST_ETCD_JOINABLE_EPHEMERAL_TTL = 10
CONST_WORKER_KEEPALIVE_TTL = 10
CONST_RUNID_SUBROOT_TTL = 7200


class EtcdRendezvousRetryableFailure(Exception):
    """Never raised here: what can be tried again is, within the time-out."""


class EtcdRendezvousRetryImmediately(Exception):
    """Never raised here: what can be tried again is, within the time-out."""


class EtcdRendezvous:
    """A run in an etcd, and the bounds of its rounds.

    Without a handler, too, one can take part in it (:meth:`rendezvous_barrier`): as a node of its
    own, which leaves at the end of the process. The steps of torch's state machine are not here,
    for the protocol is another; nor are its folders, which etcd v3 does not have.

    Args:
        client: An :class:`rdzv_client.etcdv3.Client`, or one of the package ``etcd3``. Whoever made
            it closes it.
        prefix: What all keys begin with.
        run_id: The run; its text counts.
        num_min_workers: Least nodes of a round.
        num_max_workers: Most nodes of a round.
        timeout: For a place in a round, in seconds.
        last_call_timeout: For more nodes, once there are enough, in seconds.

    Raises:
        ValueError: a number that is not allowed, or an empty run id.
        TypeError: the client is of another kind.
    """

    def __init__(  # noqa: PLR0917 - torch's signature
        self,
        client: Any,
        prefix: str,
        run_id: Any,
        num_min_workers: int,
        num_max_workers: int,
        timeout: float,
        last_call_timeout: float,
    ) -> None:
        self.client = etcd3_adapter.adapt(client)
        self.run_id = str(run_id)
        self.bounds = num_min_workers, num_max_workers
        if not 1 <= num_min_workers <= num_max_workers:
            raise ValueError(
                f"num_min_workers={num_min_workers} must be at least 1 and at most "
                f"num_max_workers={num_max_workers}"
            )
        if not timeout > 0 or not last_call_timeout >= 0:
            raise ValueError(
                f"timeout={timeout} must be more than 0, and last_call_timeout={last_call_timeout} "
                "at least 0 seconds"
            )
        self.options = Options(join_timeout=timeout, last_call_timeout=last_call_timeout)
        self._root = prefix.rstrip("/")
        self.keys = wire.Keys(self.run_id, self._root)

    def open_session(self, local_addr: str | None) -> Session:
        """Return a new member's seat in the run.

        Args:
            local_addr: Where the other nodes reach this one; None: the address from which this
                host reaches etcd.
        """
        endpoint = str(self.client.transport.settings.endpoints[0])
        least, most = self.bounds
        record = identity.identify(
            os.environ,
            min_nodes=least,
            max_nodes=most,
            local_addr=local_addr,
            endpoint=endpoint,
        )
        backend = EtcdBackend(
            self.client.with_timeout(self.options.read_timeout),
            self.keys,
            record.id,
            record.slot,
            self.options.lease_ttl,
            run_ttl_s=CONST_RUNID_SUBROOT_TTL,
        )
        return Session(backend, self.keys, record, self.options.timing)

    # --- taking part ---

    def rendezvous_barrier(self) -> tuple[int, int, int]:
        """Take part in the next round, and return when it stands.

        Returns:
            The round's number, this node's rank, and how many nodes there are.

        Raises: as :meth:`ProtocolHandler.next_rendezvous`.
        """
        info = self._node.next_rendezvous()
        return self._node.round_number, info.rank, info.world_size

    def set_closed(self) -> None:
        """Say that the run is over; see :meth:`ProtocolHandler.set_closed`."""
        self._node.set_closed()

    @functools.cached_property
    def _node(self) -> _Node:
        return _Node(self)

    # --- what is kept of a round; it goes some time after the run ---

    def get_path(self, path: str) -> str:
        """Return the key of what is kept here under a path, such as ``/rdzv/v_1/kv``."""
        return f"{self._root}/run_{quote(self.run_id, safe='')}/{path.removeprefix('/')}"

    def setup_kv_store(self, rdzv_version: int) -> EtcdStore:
        """Return the store of the round with this number."""
        return self._kept(rdzv_version, "kv")

    def store_extra_data(self, rdzv_version: int, key: str, value: Any) -> None:
        """Keep something that JSON can say, for all nodes of a round.

        Raises:
            TypeError: JSON cannot say it.
            RendezvousConnectionError: etcd cannot be reached.
        """
        said = json.dumps(value)
        try:
            self._kept(rdzv_version, "extra_data").set(key, said)
        except EtcdStoreUnavailable as error:
            raise api.RendezvousConnectionError(str(error)) from error

    def load_extra_data(
        self, rdzv_version: int, key: str, timeout: float | timedelta | None = None
    ) -> Any:
        """Return what a node of the round has kept, as soon as it is there.

        Args:
            rdzv_version: The round's number.
            key: What it was kept under.
            timeout: How long to wait for it, in seconds; None: as long as for a place in a round.

        Raises:
            RendezvousTimeoutError: it is not there in time.
            RendezvousStateError: what is there is no JSON.
            RendezvousConnectionError: etcd cannot be reached.
        """
        limit_s = self.options.join_timeout if timeout is None else options.number(timeout)
        store = self._kept(rdzv_version, "extra_data", timedelta(seconds=limit_s))
        try:
            return json.loads(store.get(key))
        except EtcdStoreTimeout as error:
            raise api.RendezvousTimeoutError(str(error)) from error
        except EtcdStoreUnavailable as error:
            raise api.RendezvousConnectionError(str(error)) from error
        except (ValueError, RecursionError) as error:
            raise api.RendezvousStateError(f"{store.prefix}{key} is no JSON: {error}") from error

    def _kept(self, rdzv_version: int, what: str, timeout: timedelta | None = None) -> EtcdStore:
        lease = RunLease(self.client, f"{self.keys.prefix}lease", CONST_RUNID_SUBROOT_TTL)
        prefix = self.get_path(f"/rdzv/v_{rdzv_version}/{what}")
        return EtcdStore(self.client, prefix, timeout, lease=lease)


class _Node(ProtocolHandler):
    """A node of the run. Each round has a store of its own in etcd."""

    def __init__(self, rdzv_impl: EtcdRendezvous, local_addr: str | None = None) -> None:
        session = rdzv_impl.open_session(local_addr)
        super().__init__("etcd", rdzv_impl.run_id, session, rdzv_impl.options)
        self._rdzv_impl = rdzv_impl

    @property
    def use_agent_store(self) -> bool:
        """False: rank 0's worker makes the workers' store."""
        return False

    @property
    def round_number(self) -> int:
        """Of the round that this node is in; 0 before its first."""
        return self._entered.round.number if self._entered else 0

    def _info(self, step: participation.Enter) -> api.RendezvousInfo:
        keys = self._rdzv_impl.setup_kv_store(step.round.number)
        world_size = step.round.world_size
        in_round = RoundStore(
            Standing(keys), world_size, self._is_disturbed, self._finish, self._settled
        )
        where = api.RendezvousStoreInfo(step.store.host, step.store.port)
        return api.RendezvousInfo(EtcdRoundKeys(keys, in_round), step.rank, world_size, where)


class EtcdRendezvousHandler(_Node):
    """Forms rounds of a run in etcd; see :class:`ProtocolHandler`.

    Each round has a store of its own in etcd. The workers do not share it: the one with rank 0
    makes theirs, at the address in ``bootstrap_store_info``.

    Args:
        rdzv_impl: The run.
        local_addr: Where the other nodes reach this one; None: the address from which this host
            reaches etcd.
    """

    def next_rendezvous(self) -> api.RendezvousInfo:
        """Take part in the next round; see :meth:`ProtocolHandler.next_rendezvous`."""
        while True:
            info = super().next_rendezvous()
            address = self._session.record.addr
            try:
                where = api.RendezvousStoreInfo.build(info.rank, info.store, local_addr=address)
            except RoundOverError:
                continue  # somebody was lost meanwhile; the workers have not started yet
            return api.RendezvousInfo(info.store, info.rank, info.world_size, where)

    def shutdown(self) -> bool:
        """Leave the run; see :meth:`ProtocolHandler.shutdown`."""
        try:
            return super().shutdown()
        finally:
            self._rdzv_impl.client.close()  # idle connections alone: it can be used further


def create_rdzv_handler(params: api.RendezvousParameters) -> EtcdRendezvousHandler:
    """Create a handler from parameters.

    =====================  ====================================================================
    option                 meaning
    =====================  ====================================================================
    ``timeout``            for a place in a round, in seconds (600)
    ``last_call_timeout``  for more nodes, once there are enough, in seconds (30)
    ``etcd_prefix``        what all keys begin with (``/torchelastic/p2p``)
    =====================  ====================================================================

    and those of :func:`rdzv_client.etcd_connection.from_parameters`.

    Raises:
        ValueError: an option that is not as it must be, or that nobody reads.
        RendezvousConnectionError: etcd cannot be reached.
    """
    options.refuse_unknown(params.config, _OPTIONS | etcd_connection.OPTIONS)
    limit_s = _whole_seconds(params, "timeout", _DEFAULT_TIMEOUT)
    last_call_s = _whole_seconds(params, "last_call_timeout", _DEFAULT_LAST_CALL_TIMEOUT)
    run = EtcdRendezvous(
        etcd_connection.from_parameters(params),
        params.get("etcd_prefix", _DEFAULT_PREFIX),
        params.run_id,
        params.min_nodes,
        params.max_nodes,
        limit_s,
        last_call_s,
    )
    return EtcdRendezvousHandler(run, params.local_addr)


def _whole_seconds(params: api.RendezvousParameters, name: str, default: int) -> int:
    seconds = params.get_as_int(name, default)
    return default if seconds is None else seconds
