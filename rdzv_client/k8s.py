"""The ``k8s`` rendezvous handler: who this pod is, and where its run's store is.

torchrun finds it through the entry point group ``torchrun.handlers``. The operator injects all that
it needs into the training container, so that the user's command is plain ``torchrun train.py``.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rdzv_client import identity, progress, wire

if TYPE_CHECKING:
    from rdzv_client.backends import ReportingBackend
    from rdzv_client.options import Options
    from rdzv_client.progress.herald import Herald

NAME = "k8s"

_C10D: Final = "c10d://"
_LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def plugin() -> Callable[[Any], Any]:
    """Return the creator of handlers; torch calls this while it is itself being imported."""
    return create_handler


def create_handler(params: Any) -> Any:
    """Create the handler for a pod of an ElasticJob.

    Args:
        params: torch's ``RendezvousParameters``: the endpoint is ``etcd://HOST:PORT``, or several
            as ``etcd://HOST:PORT;HOST:PORT``, ``etcds`` with TLS, or the ``c10d://HOST:PORT`` of a
            TCPStore; ``config`` holds the options (:class:`rdzv_client.options.Options`), the
            environment etcd's credentials (:func:`rdzv_client.etcd_connection.connect`).

    Raises:
        ValueError: an option, the endpoint or the pod's environment is not as it must be.
    """
    # Imported late: torch is only partly imported when it loads its plug-ins.
    from rdzv_client import options  # noqa: PLC0415
    from rdzv_client.handler import ProtocolHandler  # noqa: PLC0415
    from rdzv_client.session import Session  # noqa: PLC0415

    show_log()
    config = options.unquoted(params.config)
    chosen = options.parse(config)
    bounds = (params.min_nodes, params.max_nodes)
    record = identity.of_pod(os.environ, *bounds, params.local_addr, config)
    keys = wire.Keys(params.run_id)
    opened = _open_c10d if params.endpoint.startswith(_C10D) else _open_etcd
    backend = opened(params.endpoint, keys, record, chosen)
    session = Session(backend, keys, record, chosen.timing)
    herald = _herald(os.environ.get(progress.FOLDER), record.id, backend)
    return ProtocolHandler(params.backend, params.run_id, session, chosen, herald)


def _herald(folder: str | None, member: str, backend: ReportingBackend) -> Herald | None:
    from rdzv_client.progress.folder import Folder  # noqa: PLC0415
    from rdzv_client.progress.herald import Herald  # noqa: PLC0415

    return Herald(Folder(Path(folder)), member, backend.report) if folder else None


def _open_etcd(
    endpoint: str, keys: wire.Keys, record: wire.Member, chosen: Options
) -> ReportingBackend:
    from rdzv_client import etcd_connection  # noqa: PLC0415
    from rdzv_client.backends.etcd import EtcdBackend  # noqa: PLC0415

    etcd_endpoints(endpoint)
    client = etcd_connection.connect(endpoint, {}, os.environ, chosen.read_timeout)
    return EtcdBackend(
        client,
        keys,
        record.id,
        record.slot,
        chosen.lease_ttl,
        beat_timeout_s=chosen.heartbeat_timeout,
    )


def _open_c10d(
    endpoint: str, keys: wire.Keys, record: wire.Member, chosen: Options
) -> ReportingBackend:
    from rdzv_client.backends.c10d import C10dBackend  # noqa: PLC0415
    from rdzv_client.tcp_store import DEFAULT_PORT, Endpoint  # noqa: PLC0415
    from rdzv_client.utils import parse_rendezvous_endpoint  # noqa: PLC0415

    if endpoint == _C10D:
        raise _refusal(endpoint)
    host, port = parse_rendezvous_endpoint(endpoint.removeprefix(_C10D), DEFAULT_PORT)
    # A pod never hosts the store: it has one of its own.
    store = Endpoint(host, port, chosen.read_timeout)
    return C10dBackend(
        store,
        keys,
        record.id,
        chosen.lease_ttl,
        chosen.read_timeout,
        beat_timeout_s=chosen.heartbeat_timeout,
    )


def show_log() -> None:
    """Have what the rendezvous says appear in the pod's log: torchrun shows warnings only.

    ``RDZV_LOG_LEVEL`` sets the level (INFO). Where logging is set up already, that is kept.

    Raises:
        ValueError: there is no such level.
    """
    given = os.environ.get("RDZV_LOG_LEVEL") or "INFO"
    if given.upper() not in _LOG_LEVELS:
        raise ValueError(f"RDZV_LOG_LEVEL={given!r} must be one of {', '.join(_LOG_LEVELS)}")
    log = logging.getLogger("rdzv_client")
    root = logging.getLogger()
    if log.handlers or (root.handlers and not _is_default(root)):
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s rendezvous: %(message)s"))
    log.addHandler(handler)
    log.setLevel(given.upper())
    log.propagate = not root.handlers  # nothing twice


def _is_default(root: logging.Logger) -> bool:
    """Whether nobody set up logging on purpose: torch 2.5's run does ``logging.info(...)``."""
    if root.level != logging.WARNING or len(root.handlers) != 1:
        return False
    handler = root.handlers[0]
    layout = getattr(handler.formatter, "_fmt", None)
    return type(handler) is logging.StreamHandler and layout == logging.BASIC_FORMAT


def etcd_endpoints(endpoint: str) -> list[str]:
    """Return the URLs of an ``etcd://`` or ``etcds://`` endpoint.

    Raises:
        ValueError: it is something else.
    """
    from rdzv_client import etcd_connection  # noqa: PLC0415

    scheme, separator, addresses = endpoint.partition("://")
    if scheme not in ("etcd", "etcds") or not separator or not addresses:
        raise _refusal(endpoint)
    return etcd_connection.parse_endpoint(endpoint)


def _refusal(endpoint: str) -> ValueError:
    return ValueError(
        f"the rendezvous endpoint {endpoint!r} of backend {NAME!r} must be "
        "etcd://HOST:PORT or etcds://HOST:PORT, several separated by ';', or c10d://HOST:PORT"
    )
