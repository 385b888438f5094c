"""One connection to one endpoint, with a deadline on everything that is done with it."""

from __future__ import annotations

import contextlib
import select
import socket
import time

from rdzv_client.etcdv3 import http1
from rdzv_client.etcdv3.endpoints import Endpoint, TlsFiles

_RECEIVE_BYTES = 64 * 1024
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}  # seconds, seconds, probes


class NotSent(OSError):
    """The request did not leave whole, so the server cannot have carried it out."""


class Connection:
    """A connected socket. Every method raises OSError (TimeoutError among it) when it fails."""

    def __init__(self, sock: socket.socket, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.sock = sock

    def is_stale(self) -> bool:
        """Whether the server closed it, or sent what was never asked for, while it lay idle."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    def exchange(self, request: bytes, deadline_s: float, limit_bytes: int) -> http1.AnswerParser:
        """Send a request and read the whole answer.

        Args:
            request: as :mod:`http1` or :mod:`websocket` built it.
            deadline_s: of ``time.monotonic()``.
            limit_bytes: of the answer's body.

        Raises:
            NotSent, OSError, ResponseInvalid
        """
        try:
            self.send(request, deadline_s)
        except OSError as error:
            raise NotSent(str(error)) from error
        parser = http1.AnswerParser(limit_bytes)
        while True:
            data = self.receive(deadline_s)
            if not data:
                if parser.feed_end():
                    return parser
                raise ConnectionResetError("the server closed the connection without an answer")
            if parser.feed(data):
                return parser

    def send(self, data: bytes, deadline_s: float) -> None:
        self.sock.settimeout(_left(deadline_s))
        self.sock.sendall(data)

    def receive(self, deadline_s: float) -> bytes:
        """What has come, at least one byte; empty when the server has closed."""
        self.sock.settimeout(_left(deadline_s))
        return self.sock.recv(_RECEIVE_BYTES)

    def receive_ready(self) -> bytes:
        """What has come already. Raises BlockingIOError, or ssl.SSLWantReadError, when nothing."""
        self.sock.settimeout(0)
        return self.sock.recv(_RECEIVE_BYTES)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()


def dial(endpoint: Endpoint, tls: TlsFiles, timeout_s: float) -> Connection:
    """A new connection, with TLS where the endpoint is secure.

    Raises:
        OSError: it could not be made (ssl.SSLError: the certificates do not fit).
    """
    deadline_s = time.monotonic() + timeout_s
    sock = socket.create_connection((endpoint.host, endpoint.port), timeout_s)
    try:
        _tune(sock)
        if endpoint.secure:
            sock.settimeout(_left(deadline_s))
            sock = tls.context().wrap_socket(sock, server_hostname=endpoint.host)
    except BaseException:
        sock.close()
        raise
    return Connection(sock, endpoint)


def _tune(sock: socket.socket) -> None:
    """Small writes leave at once, and a path that died is noticed without traffic."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)  # not every platform has all of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _left(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s
