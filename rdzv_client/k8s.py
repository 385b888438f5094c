"""The ``k8s`` rendezvous handler: who this pod is, and where its run's store is.

torchrun finds it through the entry point group ``torchrun.handlers``. The operator injects all that
it needs into the training container, so that the user's command is plain ``torchrun train.py``.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rdzv_client import wire

NAME = "k8s"


def plugin() -> Callable[[Any], Any]:
    """Return the creator of handlers; torch calls this while it is itself being imported."""
    return create_handler


def create_handler(params: Any) -> Any:
    """Create the handler for a pod of an ElasticJob.

    Args:
        params: torch's ``RendezvousParameters``: the endpoint is ``etcd://HOST:PORT``, or several
            as ``etcd://HOST:PORT;HOST:PORT``; ``config`` holds the options
            (:class:`rdzv_client.options.Options`).

    Raises:
        ValueError: an option, the endpoint or the pod's environment is not as it must be.
    """
    # Imported late: torch is only partly imported when it loads its plug-ins.
    from rdzv_client import etcdv3, options  # noqa: PLC0415
    from rdzv_client.backends.etcd import EtcdBackend  # noqa: PLC0415
    from rdzv_client.handler import ProtocolHandler  # noqa: PLC0415
    from rdzv_client.session import Session  # noqa: PLC0415

    show_log()
    chosen = options.parse(params.config)
    record = identify(os.environ, params)
    keys = wire.Keys(params.run_id)
    client = etcdv3.Client(etcd_endpoints(params.endpoint), request_timeout_s=chosen.read_timeout)
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
    scheme, separator, addresses = endpoint.partition("://")
    urls = {"etcd": "http", "etcds": "https"}
    if scheme not in urls or not separator or not addresses:
        raise ValueError(
            f"the rendezvous endpoint {endpoint!r} of backend {NAME!r} must be "
            "etcd://HOST:PORT or etcds://HOST:PORT, several separated by ';'"
        )
    return [f"{urls[scheme]}://{address}" for address in addresses.split(";")]


def identify(environ: Mapping[str, str], params: Any) -> wire.Member:
    """Return the record of this process, from what the operator injected.

    Raises:
        ValueError: something of it is missing or wrong.
    """
    uid = _required(environ, "RDZV_POD_UID")
    return wire.Member(
        id=f"{uid}.{secrets.token_hex(4)}",
        uid=uid,
        slot=_slot(environ),
        name=_required(environ, "RDZV_POD_NAME"),
        node=environ.get("RDZV_NODE_NAME", ""),
        addr=params.local_addr or _required(environ, "PET_LOCAL_ADDR"),
        min_nodes=params.min_nodes,
        max_nodes=params.max_nodes,
        stop_timeout_s=_stop_timeout_s(environ),
    )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise ValueError(
            f"{name} is not set: the rendezvous backend {NAME!r} runs in the pods of an "
            "ElasticJob, whose operator sets it"
        )
    return value


def _slot(environ: Mapping[str, str]) -> int | None:
    value = environ.get("RDZV_SLOT", "")
    if value and not value.isdecimal():
        raise ValueError(f"RDZV_SLOT={value!r} must be the pod's index, a number from 0")
    return int(value) if value else None


def _stop_timeout_s(environ: Mapping[str, str]) -> float:
    """How long torchrun may take to stop the workers; its own default is 30 s."""
    for name in ("PET_SHUTDOWN_TIMEOUT", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"):
        if value := environ.get(name, ""):
            try:
                return float(value)
            except ValueError:
                raise ValueError(f"{name}={value!r} must be a number of seconds") from None
    return 30.0
