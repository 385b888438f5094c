"""What rendezvous backends and launchers share; the names are those of torch's module.

Endpoints and ``--rdzv-conf`` strings are read here; whether an endpoint is this machine is decided
here; and there is a timer that ends with its owner.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import re
import socket
import threading
import time
import weakref
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

__all__ = ["parse_rendezvous_endpoint"]

log = logging.getLogger(__name__)

_SHORTEST_DELAY_S = 0.01


# --- what users write ---


def _parse_rendezvous_config(config_str: str) -> dict[str, str]:
    """Read ``<key1>=<value1>,...,<keyN>=<valueN>``; a value may hold ``=`` but no comma.

    Raises:
        ValueError: it is something else.
    """
    config: dict[str, str] = {}
    if not config_str.strip():
        return config
    for option in config_str.split(","):
        key, _, value = (part.strip() for part in option.partition("="))
        if not key:
            raise ValueError(
                "The rendezvous configuration string must be in format "
                "<key1>=<value1>,...,<keyN>=<valueN>."
            )
        if not value:
            raise ValueError(
                f"The rendezvous configuration option '{key}' must have a value specified."
            )
        config[key] = value
    return config


def _try_parse_port(port_str: str) -> int | None:
    """Read a number of one to five digits; None if it is something else."""
    return int(port_str) if re.fullmatch(r"[0-9]{1,5}", port_str) else None


def parse_rendezvous_endpoint(endpoint: str | None, default_port: int) -> tuple[str, int]:
    """Read ``HOST[:PORT]``.

    Args:
        endpoint: A name, an IPv4 or an IPv6 address, the last in brackets if a port follows;
            nothing means this machine.
        default_port: The port if none is given.

    Returns:
        The host, without brackets, and the port.

    Raises:
        ValueError: it is something else, or may be read in two ways.
    """
    endpoint = (endpoint or "").strip()
    if not endpoint:
        return "localhost", default_port
    host, port_str = _split_endpoint(endpoint)
    if len(host) > 1 and host[0] == "[" and host[-1] == "]":
        host = host[1:-1]
    port = default_port if port_str is None else _try_parse_port(port_str)
    if port is None or port >= 2**16:
        raise ValueError(
            f"The port number of the rendezvous endpoint '{endpoint}' must be an integer between "
            "0 and 65536."
        )
    if not re.fullmatch(r"[\w.:-]+", host):
        raise ValueError(
            f"The hostname of the rendezvous endpoint '{endpoint}' must be a dot-separated list "
            "of labels, an IPv4 address, or an IPv6 address."
        )
    return host, port


def _split_endpoint(endpoint: str) -> tuple[str, str | None]:
    """Return the host and the text of the port, if there is one."""
    host, colon, port_str = endpoint.rpartition(":")
    if not colon or (endpoint[0] == "[" and endpoint[-1] == "]"):
        return endpoint, None
    if not _is_ipv6(endpoint):
        return host, port_str
    if port_str.isdecimal() and _is_ipv6(host):
        raise ValueError(
            f"The rendezvous endpoint '{endpoint}' is an IPv6 address, but also one with a port: "
            f"write '[{endpoint}]' or '[{host}]:{port_str}'."
        )
    return endpoint, None


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


# --- which machine this is ---


def _matches_machine_hostname(host: str) -> bool:
    """Return whether ``host`` is this machine: a loopback, its name, or one of its addresses.

    It may be False for a name or an address that the machine's own name does not lead to. Names
    that cannot be resolved match nothing but themselves.
    """
    try:
        addr = ipaddress.ip_address(host)
    except ValueError:
        addr = None
    this_host = socket.gethostname()
    if host in ("localhost", this_host) or (addr and addr.is_loopback):
        return True
    host_ips = {info[4][0] for info in _resolve(host)}
    if addr:
        host_ips.add(str(addr))
    return any(info[3] == host or info[4][0] in host_ips for info in _resolve(this_host))


def _resolve(host: str) -> list[Any]:
    """Return what ``getaddrinfo`` knows of a host: nothing, if it does not resolve."""
    try:
        return socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP, flags=socket.AI_CANONNAME)
    except (OSError, ValueError):
        return []


# --- time ---


def _delay(seconds: float | tuple[float, float]) -> None:
    """Sleep so many seconds, or a random time between two bounds; less than 10 ms not at all."""
    if isinstance(seconds, tuple):
        seconds = random.uniform(*seconds)  # noqa: S311 - it spreads load, it hides nothing
    if seconds >= _SHORTEST_DELAY_S:
        time.sleep(seconds)


class _PeriodicTimer:
    """Calls a function again and again, in a thread that ends when the timer is let go.

    A call that fails is logged, and the next one follows in its time.

    Args:
        interval: From the start to the first call, and from the end of each to the next.
        function: What to call.
        *args: With what.
        **kwargs: With what.
    """

    def __init__(
        self,
        interval: timedelta,
        function: Callable[..., None],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self._interval_s = interval.total_seconds()
        self._call = partial(function, *args, **kwargs)
        self._stop = threading.Event()
        self._name: str | None = None
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str | None:
        """The name of its thread, if one was given."""
        return self._name

    def set_name(self, name: str) -> None:
        """Name its thread.

        Raises:
            RuntimeError: it has started.
        """
        self._refuse_if_started()
        self._name = name

    def start(self) -> None:
        """Begin; this can be done once.

        Raises:
            RuntimeError: it has started.
        """
        self._refuse_if_started()
        self._thread = threading.Thread(
            # Not a method: the thread must not keep the timer alive.
            target=_repeat,
            name=self._name or "PeriodicTimer",
            args=(self._call, self._interval_s, self._stop),
            daemon=True,
        )
        finalizer = weakref.finalize(self, _end, self._thread, self._stop)
        # At the interpreter's end the thread is gone or going: joining it could hang.
        finalizer.atexit = False
        self._thread.start()

    def cancel(self) -> None:
        """Stop it, after a call that is under way; it may be stopped already."""
        if self._thread:
            _end(self._thread, self._stop)

    def _refuse_if_started(self) -> None:
        if self._thread:
            raise RuntimeError("The timer has already started.")


def _repeat(call: Callable[[], None], interval_s: float, stop: threading.Event) -> None:
    while not stop.wait(interval_s):
        try:
            call()
        except Exception:
            log.exception("A periodic call failed; it is made again in %g s.", interval_s)


def _end(thread: threading.Thread, stop: threading.Event) -> None:
    stop.set()
    if thread is not threading.current_thread():
        thread.join()
