"""torch's rendezvous backend on etcd v3: one value by compare-and-set, and the protocol itself."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import Any, ClassVar, Final

from rdzv_client import api, etcd3_adapter, etcd_connection, etcdv3, wire
from rdzv_client.backends import Backend
from rdzv_client.backends.etcd import EtcdBackend
from rdzv_client.dynamic_rendezvous import RendezvousBackend, Token
from rdzv_client.etcd_connection import reach
from rdzv_client.etcd_store import EtcdStore
from rdzv_client.etcdv3 import messages
from rdzv_client.options import Options

__all__ = ["EtcdRendezvousBackend", "create_backend"]

_NAME: Final = "etcd-v2"  # torch's, although the API is that of v3
_TTL_S: Final = 7200
_PREFIX: Final = "/torch/elastic"


class EtcdRendezvousBackend(RendezvousBackend):
    """A run in an etcd.

    A handler made of it speaks the protocol natively (:meth:`open_member`): a key for each member,
    a watch instead of polls. ``get_state`` and ``set_state`` are there for whoever calls them.

    Args:
        client: An :class:`rdzv_client.etcdv3.Client`, or one of the package ``etcd3``. Whoever made
            it closes it.
        run_id: The run.
        key_prefix: What its keys begin with.
        ttl: How long what is written outlives the last write, and for the protocol the last leader,
            in seconds; None: two hours.

    Raises:
        ValueError: the run id is empty.
        TypeError: the client is of another kind.
    """

    options: ClassVar = etcd_connection.OPTIONS

    def __init__(
        self, client: Any, run_id: str, key_prefix: str | None = None, ttl: int | None = None
    ) -> None:
        if not run_id:
            raise ValueError("The run id must be a non-empty string.")
        self._client = etcd3_adapter.adapt(client)
        self._key = f"{key_prefix}/{run_id}" if key_prefix else run_id
        self._keys = wire.Keys(run_id, key_prefix.rstrip("/")) if key_prefix else wire.Keys(run_id)
        self._ttl_s = ttl if ttl and ttl > 0 else _TTL_S
        self._lease = 0
        self._name = _NAME

    @property
    def name(self) -> str:
        """The name it was asked for by; ``etcd-v2`` when it was made by hand."""
        return self._name

    @property
    def keys(self) -> wire.Keys:
        """The run's keys in the protocol."""
        return self._keys

    def open_member(self, record: wire.Member, options: Options) -> Backend:
        """Return one member's access to the run, with connections of its own.

        Args:
            record: The member.
            options: How long to wait for what.
        """
        client = self._client.with_timeout(options.read_timeout)
        return EtcdBackend(
            client,
            self._keys,
            record.id,
            record.slot,
            options.lease_ttl,
            run_ttl_s=self._ttl_s,
            beat_timeout_s=options.heartbeat_timeout,
        )

    def get_state(self) -> tuple[bytes, Token] | None:
        """See base class. The token is the value's revision."""
        found = reach(self._client.get, self._key)
        return _state(found) if found else None

    def set_state(
        self, state: bytes, token: Token | None = None
    ) -> tuple[bytes, Token, bool] | None:
        """See base class. A token that is no number is one of another value."""
        revision = _revision(token)
        if revision is not None:
            answer = reach(self._write, b64encode(state), revision)
            if answer.succeeded:
                return state, answer.revision, True
        found = self.get_state()
        return (*found, False) if found else None

    def _write(self, value: bytes, revision: int) -> messages.TxnResult:
        unchanged = messages.modified(self._key, revision)
        while True:
            put = messages.put(self._key, value, self._live_lease())
            try:
                return self._client.txn([unchanged], [put])
            except etcdv3.LeaseNotFound:
                self._lease = 0

    def _live_lease(self) -> int:
        """The lease of this backend's writes, with its whole time before it."""
        try:
            if self._lease:
                self._client.keep_alive(self._lease)
                return self._lease
        except etcdv3.LeaseNotFound:
            pass
        self._lease = self._client.grant(self._ttl_s)
        return self._lease


def create_backend(params: api.RendezvousParameters) -> tuple[EtcdRendezvousBackend, EtcdStore]:
    """Make a backend and a store from parameters.

    Args:
        params: See :func:`rdzv_client.etcd_connection.from_parameters`.

    Raises:
        ValueError: an option that is not as it must be.
        RendezvousConnectionError: etcd cannot be reached.
    """
    client = etcd_connection.from_parameters(params)
    backend = EtcdRendezvousBackend(client, params.run_id, f"{_PREFIX}/rendezvous")
    if params.backend.startswith("etcd"):
        backend._name = params.backend  # noqa: SLF001 - its constructor is torch's
    return backend, EtcdStore(client, f"{_PREFIX}/store")


def _revision(token: Token | None) -> int | None:
    """The revision that the token stands for, 0 for a value that must not be there yet."""
    try:
        return int(token) if token else 0
    except (TypeError, ValueError):
        return None


def _state(found: messages.KeyValue) -> tuple[bytes, Token]:
    try:
        return b64decode(found.value, validate=True), found.mod_revision
    except binascii.Error as error:
        raise api.RendezvousStateError(
            "The state object is corrupt. See inner exception for details."
        ) from error
