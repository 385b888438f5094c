"""The ``k8s`` rendezvous handler: who this pod is, and where its run's store is.

torchrun finds it through the entry point group ``torchrun.handlers``. The operator injects all that
it needs into the training container, so that the user's command is plain ``torchrun train.py``.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from rdzv_client import identity, wire

NAME = "k8s"


def plugin() -> Callable[[Any], Any]:
    """Return the creator of handlers; torch calls this while it is itself being imported."""
    return create_handler


def create_handler(params: Any) -> Any:
    """Create the handler for a pod of an ElasticJob.

    Args:
        params: torch's ``RendezvousParameters``: the endpoint is ``etcd://HOST:PORT``, or several
            as ``etcd://HOST:PORT;HOST:PORT``, ``etcds`` with TLS; ``config`` holds the options
            (:class:`rdzv_client.options.Options`), the environment the credentials
            (:data:`rdzv_client.etcd_connection.VARIABLES`).

    Raises:
        ValueError: an option, the endpoint or the pod's environment is not as it must be.
    """
    # Imported late: torch is only partly imported when it loads its plug-ins.
    from rdzv_client import etcd_connection, options  # noqa: PLC0415
    from rdzv_client.backends.etcd import EtcdBackend  # noqa: PLC0415
    from rdzv_client.handler import ProtocolHandler  # noqa: PLC0415
    from rdzv_client.session import Session  # noqa: PLC0415

    show_log()
    chosen = options.parse(params.config)
    record = identity.of_pod(os.environ, params.min_nodes, params.max_nodes, params.local_addr)
    keys = wire.Keys(params.run_id)
    etcd_endpoints(params.endpoint)
    client = etcd_connection.connect(params.endpoint, {}, os.environ, chosen.read_timeout)
    backend = EtcdBackend(client, keys, record.id, record.slot, chosen.lease_ttl)
    session = Session(backend, keys, record, chosen.timing)
    return ProtocolHandler(params.backend, params.run_id, session, chosen)


def show_log() -> None:
    """Have what the rendezvous says appear in the pod's log: torchrun shows warnings only.

    ``RDZV_LOG_LEVEL`` sets the level (INFO). Where logging is set up already, that is kept.
    """
    log = logging.getLogger("rdzv_client")
    if log.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s rendezvous: %(message)s"))
    log.addHandler(handler)
    log.setLevel(os.environ.get("RDZV_LOG_LEVEL", "INFO").upper())


def etcd_endpoints(endpoint: str) -> list[str]:
    """Return the URLs of an ``etcd://`` or ``etcds://`` endpoint.

    Raises:
        ValueError: it is something else.
    """
    from rdzv_client import etcd_connection  # noqa: PLC0415

    scheme, separator, addresses = endpoint.partition("://")
    if scheme not in ("etcd", "etcds") or not separator or not addresses:
        raise ValueError(
            f"the rendezvous endpoint {endpoint!r} of backend {NAME!r} must be "
            "etcd://HOST:PORT or etcds://HOST:PORT, several separated by ';'"
        )
    return etcd_connection.parse_endpoint(endpoint)
