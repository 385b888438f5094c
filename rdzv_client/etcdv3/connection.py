"""One connection to one endpoint, with a deadline on everything that is done with it."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import ssl
import time

from rdzv_client.etcdv3 import http1
from rdzv_client.etcdv3.endpoints import Endpoint, TlsFiles

_RECEIVE_BYTES = 64 * 1024
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}  # seconds, seconds, probes

NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What :meth:`Connection.receive_ready` raises when nothing has come, or part of a TLS record."""


class NotSent(OSError):
    """The request did not leave whole, so the server cannot have carried it out."""


class Connection:
    """A connected socket. Every method raises OSError (TimeoutError among it) when it fails.

    The socket itself never waits: what has to wait does so in one place, until its deadline. So an
    exchange takes three system calls, each of which lets other threads take over.
    """

    def __init__(self, sock: socket.socket, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.sock = sock
        sock.setblocking(False)
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)

    def is_stale(self) -> bool:
        """Whether the server closed it, or sent what was never asked for, while it lay idle."""
        return bool(self._readable.poll(0))

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
        left_s = _left(deadline_s)
        while data:
            try:
                data = data[self.sock.send(data) :]
            except NOTHING_YET as error:
                _wait(self._awaited(error), left_s)
                left_s = _left(deadline_s)

    def receive(self, deadline_s: float) -> bytes:
        """What has come, at least one byte; empty when the server has closed."""
        while True:
            left_s = _left(deadline_s)
            if not self.has_pending():
                _wait(self._readable, left_s)
            try:
                return self.sock.recv(_RECEIVE_BYTES)
            except NOTHING_YET:
                continue

    def receive_ready(self) -> bytes:
        """What has come already. Raises one of :data:`NOTHING_YET` when nothing."""
        return self.sock.recv(_RECEIVE_BYTES)

    def has_pending(self) -> bool:
        """Whether TLS has taken more from the socket than was received from it."""
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()

    def _awaited(self, error: OSError) -> select.poll:
        """What a send waits for; TLS may have to read before it can write."""
        if isinstance(error, ssl.SSLWantReadError):
            return self._readable
        writable = select.poll()
        writable.register(self.sock, select.POLLOUT)
        return writable


def dial(endpoint: Endpoint, tls: TlsFiles, timeout_s: float) -> Connection:
    """A new connection, with TLS where the endpoint is secure.

    Raises:
        OSError: it could not be made (ssl.SSLError: the certificates do not fit).
    """
    deadline_s = time.monotonic() + timeout_s
    sock = _connect(endpoint, timeout_s)
    try:
        _tune(sock)
        if endpoint.secure:
            sock.settimeout(_left(deadline_s))
            sock = tls.context().wrap_socket(sock, server_hostname=endpoint.host)
        return Connection(sock, endpoint)
    except BaseException:
        sock.close()
        raise


def _connect(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    """A socket that is connected; a name is looked up, an address is not."""
    family = endpoint.family
    if family is None:
        return socket.create_connection((endpoint.host, endpoint.port), timeout_s)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect((endpoint.host, endpoint.port))
    except BaseException:
        sock.close()
        raise
    return sock


def _tune(sock: socket.socket) -> None:
    """Small writes leave at once, and a path that died is noticed without traffic."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)  # not every platform has all of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _wait(poll: select.poll, timeout_s: float) -> None:
    if not poll.poll(math.ceil(timeout_s * 1000)):
        raise TimeoutError("timed out")


def _left(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s
