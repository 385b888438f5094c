"""Who this process is in a run: its pod, or outside Kubernetes its host, process and handler.

Nothing here asks what the name of this host resolves to: in a pod, and on many a laptop, it does
not, or only after a while.
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import re
import secrets
import socket
from collections.abc import Mapping
from typing import Any, Final

from rdzv_client import wire

_LOOPBACK: Final = "127.0.0.1"
_ANYWHERE: Final = ("192.0.2.1", 9)  # reserved for documentation: routed like the internet
_ENDPOINT = re.compile(
    r"(?:[a-z0-9+]+://)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^\s/:;,\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/;,].*)?"
)

_LONGEST_TOPOLOGY: Final = 1024

_handlers = itertools.count()

OPTIONS: Final[Mapping[str, str]] = {
    "slot": "RDZV_SLOT",
    "topology": "RDZV_TOPOLOGY",
    "step": "RDZV_STEP",
}
"""Options that a member's record holds, and the variables in their place."""


def identify(
    environ: Mapping[str, str],
    *,
    min_nodes: int,
    max_nodes: int,
    local_addr: str | None = None,
    endpoint: str = "",
    config: Mapping[str, Any] | None = None,
) -> wire.Member:
    """Return the record of this process: of its pod when an operator has said which that is.

    Outside Kubernetes every call gives another identity, so that several handlers on one host, or
    in one process, never take each other's place. There is no slot but the one that is given.

    Args:
        environ: The environment of the process.
        min_nodes: The bounds the process was started with.
        max_nodes: The same.
        local_addr: Where the other members reach this one; without it, the address from which this
            host reaches the endpoint.
        endpoint: The rendezvous endpoint: ``HOST[:PORT]`` with or without a scheme, or several.
        config: The options of the rendezvous; :data:`OPTIONS` of them are read.

    Raises:
        ValueError: something of it is missing or wrong.
    """
    bounds = (min_nodes, max_nodes)
    if environ.get("RDZV_POD_UID"):
        return of_pod(environ, *bounds, local_addr, config)
    return _of_process(environ, *bounds, local_addr or address_towards(endpoint), config or {})


def of_pod(
    environ: Mapping[str, str],
    min_nodes: int,
    max_nodes: int,
    local_addr: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> wire.Member:
    """Return the record of this process in its pod, from what the operator injected.

    Raises:
        ValueError: something of it is missing or wrong.
    """
    uid = _required(environ, "RDZV_POD_UID")
    return wire.Member(
        id=f"{uid}.{secrets.token_hex(4)}",
        uid=uid,
        slot=_slot(config or {}, environ),
        name=_required(environ, "RDZV_POD_NAME"),
        node=environ.get("RDZV_NODE_NAME", ""),
        addr=_address(local_addr or _required(environ, "PET_LOCAL_ADDR")),
        min_nodes=min_nodes,
        max_nodes=max_nodes,
        stop_timeout_s=_stop_timeout_s(environ),
        operated=True,
        topology=_topology(config or {}, environ),
    )


def _of_process(
    environ: Mapping[str, str],
    min_nodes: int,
    max_nodes: int,
    addr: str,
    config: Mapping[str, Any],
) -> wire.Member:
    host = socket.gethostname()
    name = f"{host}_{os.getpid()}_{next(_handlers)}"
    token = re.sub(r"[^A-Za-z0-9._-]", "-", name)[-200:]
    unique = f"{token}.{secrets.token_hex(4)}"
    return wire.Member(
        id=unique,
        uid=unique,
        slot=_slot(config, environ),
        name=name,
        node=environ.get("RDZV_NODE_NAME", host),
        addr=_address(addr),
        min_nodes=min_nodes,
        max_nodes=max_nodes,
        stop_timeout_s=_stop_timeout_s(environ),
        topology=_topology(config, environ),
        step=_step(config, environ, min_nodes, max_nodes),
    )


def address_towards(endpoint: str) -> str:
    """Return the address from which this host reaches an endpoint; nothing is sent.

    A loopback endpoint gives a loopback address, for nobody from another host can be in that run.
    An endpoint that names this host itself, that does not resolve, or that is no address at all
    gives the address from which this host reaches others.
    """
    match = _ENDPOINT.fullmatch(endpoint.strip())
    if match is None:
        return _source_towards(*_ANYWHERE) or _LOOPBACK
    host, port = match["v6"] or match["host"], int(match["port"] or 9)
    if host == "localhost" or _is_loopback(host):
        return _LOOPBACK
    found = _source_towards(host, port)
    if found is None or _is_loopback(found):
        return _source_towards(*_ANYWHERE) or _LOOPBACK
    return found


def _source_towards(host: str, port: int) -> str | None:
    try:
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError, OverflowError):
        return None
    for family, kind, protocol, _, address in resolved:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.connect(address)
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(addr: str) -> str:
    return wire.require_token("local address", addr)


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise ValueError(
            f"{name} is not set: the rendezvous backend 'k8s' runs in the pods of an "
            "ElasticJob, whose operator sets it"
        )
    return value


def _slot(config: Mapping[str, Any], environ: Mapping[str, str]) -> int | None:
    given, name = _given("slot", config, environ)
    text = str(given)
    if text and not (text.isdecimal() and text.isascii() and int(text) < wire.MAX_NODES):
        raise ValueError(
            f"{name}={given!r} must be the node's index, a number from 0 to {wire.MAX_NODES - 1}"
        )
    return int(text) if text else None


def _topology(config: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    given, name = _given("topology", config, environ)
    if not isinstance(given, str) or len(given) > _LONGEST_TOPOLOGY:
        raise ValueError(
            f"{name}={given!r} must be the parts that the node is in, the widest first, such as "
            f"'zone-a/rack-7', of at most {_LONGEST_TOPOLOGY} characters"
        )
    return given


def _step(config: Mapping[str, Any], environ: Mapping[str, str], least: int, most: int) -> int:
    given, name = _given("step", config, environ)
    text = str(given)
    step = int(text) if text.isdecimal() and text.isascii() and len(text) <= 7 else 0
    if text and (step < 1 or least % step or most % step):
        raise ValueError(
            f"{name}={given!r} must be a number of which both the least number of nodes ({least}) "
            f"and the most ({most}) are multiples"
        )
    return step or 1


def _given(option: str, config: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Any, str]:
    """The value, empty when there is none, and the name that it was given by."""
    if config.get(option) is not None:
        return config[option], f"the rendezvous option {option}"
    return environ.get(OPTIONS[option], ""), OPTIONS[option]


def _stop_timeout_s(environ: Mapping[str, str]) -> float:
    """How long torchrun may take to stop the workers; its own default is 30 s."""
    for name in ("PET_SHUTDOWN_TIMEOUT", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"):
        if value := environ.get(name, ""):
            try:
                return float(value)
            except ValueError:
                raise ValueError(f"{name}={value!r} must be a number of seconds") from None
    return 30.0
