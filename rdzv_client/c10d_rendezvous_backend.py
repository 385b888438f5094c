"""torch's rendezvous backend over a c10d store, which lives in one of the agents.

Over any store it has torch's shape: one value with compare-and-set. Over a TCPStore it also offers
this library's own protocol (:mod:`rdzv_client.backends.c10d`): a change costs each member a bounded
number of bytes, and the job goes on when the store's host is lost.
"""

from __future__ import annotations

import binascii
import logging
import os
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from torch.distributed import FileStore, Store, TCPStore
from torch.distributed.elastic.events import NodeState, construct_and_record_rdzv_event

from rdzv_client import wire
from rdzv_client.api import (
    RendezvousConnectionError,
    RendezvousError,
    RendezvousParameters,
    RendezvousStateError,
)
from rdzv_client.backends import StoreUnavailable
from rdzv_client.backends.c10d import C10dBackend
from rdzv_client.backends.c10d.line import Line
from rdzv_client.dynamic_rendezvous import RendezvousBackend, Token
from rdzv_client.options import OptionError, Options
from rdzv_client.rendezvous_settings import read_timeout_of
from rdzv_client.tcp_store import DEFAULT_PORT, Endpoint, is_hosted
from rdzv_client.utils import _matches_machine_hostname, parse_rendezvous_endpoint

__all__ = ["DEFAULT_PORT", "C10dRendezvousBackend", "create_backend"]

log = logging.getLogger(__name__)

OPTIONS: Final = frozenset({"store_type", "read_timeout", "is_host", "use_libuv"})
"""The names of all options that are read here."""

_NAMES: Final = ("c10d", "c10d-v2", "k8s")
# What stands there when there is no value: the same as torch's, so that the two understand another.
_NOTHING: Final = b"Y2FuaW1hZGFt"
_STORE_ERRORS: Final = (ValueError, RuntimeError, TimeoutError)
_STORE_FAILED: Final = (
    "The connection to the C10d store has failed. See inner exception for details."
)

T = TypeVar("T")


class C10dRendezvousBackend(RendezvousBackend):
    """Holds the state of a rendezvous in a c10d store.

    Over a TCPStore it also has ``open_member`` (see :class:`TcpRendezvousBackend`).

    Args:
        store: The store.
        run_id: The run.

    Raises:
        ValueError: the run id is empty.
        RendezvousConnectionError: the store cannot be reached.
    """

    options: ClassVar = OPTIONS

    def __new__(cls, store: Store, run_id: str) -> C10dRendezvousBackend:  # noqa: ARG004, PYI034
        offers_more = cls is C10dRendezvousBackend and isinstance(store, TCPStore)
        return super().__new__(TcpRendezvousBackend if offers_more else cls)

    def __init__(self, store: Store, run_id: str) -> None:
        if not run_id:
            raise ValueError("The run id must be a non-empty string.")
        self._store, self._run_id = store, run_id
        self._name = "c10d"
        self._key = f"torch.rendezvous.{run_id}"
        # To read a key that is not there would block.
        self._call(store.compare_set, self._key, "", _NOTHING.decode())

    @property
    def name(self) -> str:
        """The backend's name, as it was asked for."""
        return self._name

    def get_state(self) -> tuple[bytes, Token] | None:
        """See base class."""
        return _decoded(self._call(self._store.get, self._key))

    def set_state(
        self, state: bytes, token: Token | None = None
    ) -> tuple[bytes, Token, bool] | None:
        """See base class."""
        if token and not isinstance(token, bytes):
            there = self.get_state()
            return there and (*there, False)
        expected = (token or _NOTHING).decode()
        wanted = b64encode(state)
        there = _decoded(self._call(self._store.compare_set, self._key, expected, wanted.decode()))
        return there and (*there, there[1] == wanted)

    def _call(self, operation: Callable[..., T], *args: Any) -> T:
        try:
            return operation(*args)
        except _STORE_ERRORS as error:
            raise RendezvousConnectionError(_STORE_FAILED) from error


class TcpRendezvousBackend(C10dRendezvousBackend):
    """The same over a TCPStore, and with a protocol of its own over it."""

    _may_host = False

    @property
    def keys(self) -> wire.Keys:
        """The keys of the run."""
        return wire.Keys(self._run_id)

    def open_member(self, record: wire.Member, options: Options) -> C10dBackend:
        """Return one member's access to the run, over connections of its own."""
        endpoint = Endpoint(
            self._store.host,
            self._store.port,
            options.read_timeout,
            may_host=self._may_host,
            hosted=self._store,
        )
        return C10dBackend(
            endpoint,
            self.keys,
            record.id,
            options.lease_ttl,
            options.read_timeout,
            beat_timeout_s=options.heartbeat_timeout,
        )


def _decoded(value: bytes) -> tuple[bytes, Token] | None:
    if value == _NOTHING:
        return None
    try:
        return b64decode(value, validate=True), value
    except binascii.Error as error:
        raise RendezvousStateError(
            "The state object is corrupt. See inner exception for details."
        ) from error


# --- from parameters ---------------------------------------------------------------------------


def create_backend(params: RendezvousParameters) -> tuple[C10dRendezvousBackend, Store]:
    """Create a backend and its store.

    ================  ===========================================================================
    option            meaning
    ================  ===========================================================================
    ``store_type``    ``tcp`` (default): the endpoint is ``HOST[:PORT]``, port 29400 by default;
                      ``file``: it is a path, a new temporary file by default
    ``read_timeout``  for any operation of a TCPStore, in whole seconds (60)
    ``is_host``       whether this process hosts the TCPStore; by default it does if the endpoint
                      is this machine and no other process there does
    ``use_libuv``     accepted, and without effect: torch decides
    ================  ===========================================================================

    When the process that hosts the TCPStore is lost, another one that may host it starts an empty
    one at the same port.

    Raises:
        ValueError: an option that is not allowed.
        RendezvousConnectionError: the store cannot be reached.
        RendezvousError: there can be no temporary file.
    """
    try:
        return _create(params)
    except Exception as error:
        construct_and_record_rdzv_event(
            message=f"{type(error).__name__}: {error}",
            run_id=params.run_id,
            node_state=NodeState.FAILED,
        )
        raise


def _create(params: RendezvousParameters) -> tuple[C10dRendezvousBackend, Store]:
    given = params.get("store_type", "tcp")
    store_type = str(given).strip().lower()
    if store_type not in ("tcp", "file"):
        raise ValueError(
            "Invalid store type given. Currently only supports file and tcp."
        ) from OptionError("store_type", given, "tcp or file")
    store, may_host = _tcp_store(params) if store_type == "tcp" else (_file_store(params), False)
    backend = C10dRendezvousBackend(store, params.run_id)
    if params.backend in _NAMES:
        backend._name = params.backend  # noqa: SLF001 - torch's constructor has no room for it
    if isinstance(backend, TcpRendezvousBackend):
        backend._may_host = may_host  # noqa: SLF001 - the same
    return backend, store


def _tcp_store(params: RendezvousParameters) -> tuple[TCPStore, bool]:
    """Host the store or connect to it; return it, and whether this process may host it."""
    host, port = parse_rendezvous_endpoint(params.endpoint, default_port=DEFAULT_PORT)
    told = params.get_as_bool("is_host")
    may_host = _matches_machine_hostname(host) if told is None else told
    timeout_s = read_timeout_of(params)
    where = (params.run_id, host, port, timeout_s)
    if told is not None or not may_host or is_hosted(host, port):
        return _open(*where, hosting=bool(told)), may_host
    try:
        return _open(*where, hosting=True), may_host
    except RendezvousConnectionError:
        # Another process on this machine was faster.
        return _open(*where, hosting=False), may_host


def _open(run_id: str, host: str, port: int, timeout_s: int, *, hosting: bool) -> TCPStore:
    timeout = timedelta(seconds=timeout_s)
    # On a line of its own: TCPStore waits for ever for a server that is none of its kind.
    line = Line(
        lambda: TCPStore(host, port, is_master=hosting, multi_tenant=True, timeout=timeout),
        timeout_s,
    )
    try:
        # A second more: its own words come first, where it has some.
        store: TCPStore = line.call(lambda store: store, timeout_s + 1.0)
    except (*_STORE_ERRORS, StoreUnavailable) as error:
        raise RendezvousConnectionError(_STORE_FAILED) from error
    finally:
        line.close()
    if hosting:
        words = f"Process {os.getpid()} hosts the TCP store for the C10d rendezvous backend."
        construct_and_record_rdzv_event(run_id=run_id, message=words, node_state=NodeState.INIT)
        log.info(words)
    return store


def _file_store(params: RendezvousParameters) -> FileStore:
    path = params.endpoint or _new_file()
    try:
        # The store itself would try for five minutes to open what cannot be opened.
        Path(path).open("ab").close()
        return FileStore(path)
    except (ValueError, RuntimeError, OSError) as error:
        raise RendezvousConnectionError(_STORE_FAILED) from error


def _new_file() -> str:
    try:
        descriptor, path = tempfile.mkstemp()
        os.close(descriptor)
    except OSError as error:
        raise RendezvousError(
            "The file creation for C10d store has failed. See inner exception for details."
        ) from error
    return path
