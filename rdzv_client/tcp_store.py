"""Connections to a run's TCPStore, and hosting it where that is this process's part.

The store of the c10d backend lives in an agent. When that agent dies, another one on the same host
starts an empty store in its place, and the members fill it again with what they know.
"""

from __future__ import annotations

import logging
import os
import socket
from datetime import timedelta
from typing import Final

from torch.distributed import TCPStore

from rdzv_client.backends.c10d.line import CONNECT_S

log = logging.getLogger(__name__)

DEFAULT_PORT: Final = 29400


class Endpoint:
    """Where the store is (implements :class:`rdzv_client.backends.c10d.line.Endpoint`).

    Args:
        host: Its host.
        port: Its port.
        timeout_s: For an answer to the first packet of a connection; torch may take longer.
        may_host: Whether to start an empty store there when nobody listens any more. It lives as
            long as this object.
        hosted: The store if this process hosts it already; it is kept alive.
    """

    def __init__(
        self,
        host: str,
        port: int,
        timeout_s: float,
        *,
        may_host: bool = False,
        hosted: TCPStore | None = None,
    ) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._may_host, self._hosted = may_host, hosted

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return f"the store at {self._host}:{self._port}"

    def open(self) -> TCPStore:
        """Open a connection, and host the store first if that falls to this process.

        Raises:
            RuntimeError, OSError: the store cannot be reached.
        """
        try:
            self._probe()
        except ConnectionRefusedError:
            if not self._may_host:
                raise
            self._hosted = self._open(is_master=True)
            log.warning(
                "Nobody hosts %s of the rendezvous any more; process %d does.",
                self.name,
                os.getpid(),
            )
        return self.connect()

    def connect(self) -> TCPStore:
        """Open a connection to the store; somebody is known to host it.

        Raises:
            RuntimeError: the store cannot be reached.
        """
        return self._open(is_master=False)

    def is_there(self) -> bool:
        """Return whether somebody hosts the store at this moment; a frozen one counts."""
        return is_hosted(self._host, self._port)

    def _probe(self) -> None:
        """See whether somebody listens. torch itself complains at length when nobody does."""
        try:
            _probe(self._host, self._port, self._timeout_s)
        except OSError as error:
            raise type(error)(f"{self.name} cannot be reached: {error}") from error

    def _open(self, *, is_master: bool) -> TCPStore:
        return TCPStore(
            host_name=self._host,
            port=self._port,
            is_master=is_master,
            wait_for_workers=False,
            multi_tenant=True,
            timeout=timedelta(seconds=self._timeout_s + CONNECT_S),
        )


def is_hosted(host: str, port: int) -> bool:
    """Return whether somebody listens there."""
    try:
        _probe(host, port, timeout_s=1.0)
    except OSError:
        return False
    return True


def _probe(host: str, port: int, timeout_s: float) -> None:
    socket.create_connection((host, port), timeout_s).close()
