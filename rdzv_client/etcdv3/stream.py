"""One WebSocket to one endpoint, read by one thread that other threads can wake."""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from rdzv_client.etcdv3 import answers, websocket
from rdzv_client.etcdv3.connection import NOTHING_YET, Connection
from rdzv_client.etcdv3.websocket import Opcode

if TYPE_CHECKING:
    from rdzv_client.etcdv3.transport import Transport


class Wakeup:
    """Ends the wait of the thread that reads, from any thread."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def fileno(self) -> int:
        return self._receiver.fileno()

    def set(self) -> None:
        with contextlib.suppress(OSError):  # full: awake already; closed: nobody waits any more
            self._sender.send(b"\0")

    def clear(self) -> None:
        with contextlib.suppress(OSError):
            while self._receiver.recv(1024):
                pass

    def wait(self, timeout_s: float) -> None:
        """Wait until it is set, or so long; it is clear afterwards."""
        if _polled(self).poll(_milliseconds(timeout_s)):
            self.clear()

    def close(self) -> None:
        self._receiver.close()
        self._sender.close()


class Stream(Protocol):
    """An open stream of messages, both ways; :class:`GatewayStream` is the usual one."""

    @property
    def endpoint(self) -> str:
        """Where it leads."""

    def receive(self, until_s: float = math.inf) -> bytes | None:
        """The next message, or None when woken or when it is ``until_s``. Raises OSError."""

    def send(self, texts: Iterable[bytes]) -> None:
        """Send messages. Raises OSError."""

    def close(self) -> None:
        """End it."""

    def drop(self) -> None:
        """End it without a word to the server, which may not listen."""


class GatewayStream:
    """An open stream of one of etcd's services.

    When the server is silent for ``heartbeat_s`` it is pinged, and when it does not answer within
    as long again the stream is lost: so a server that is frozen, or cut off, is noticed.
    """

    def __init__(
        self, link: Connection, received: bytes, wakeup: Wakeup, limits: tuple[float, int]
    ) -> None:
        self._link = link
        self._wakeup = wakeup
        self._heartbeat_s, limit_bytes = limits
        self._parser = websocket.MessageParser(limit_bytes)
        self._lines: deque[bytes] = deque()
        self._heard_s = time.monotonic()
        self._pinged_s: float | None = None
        self._poll = _polled(wakeup, link.sock)
        self._take(received)

    @property
    def endpoint(self) -> str:
        return str(self._link.endpoint)

    def receive(self, until_s: float = math.inf) -> bytes | None:
        """The next message, or None when woken, or when it is ``until_s`` of the monotonic clock.

        Raises:
            OSError: the connection is lost; ResponseInvalid: it does not speak the protocol.
        """
        while not self._lines:
            woken, readable = self._wait(until_s)
            if readable:
                self._read()
            elif woken:
                self._wakeup.clear()
                return None
            elif time.monotonic() >= until_s:
                return None
            else:
                self._beat()
        return self._lines.popleft()

    def send(self, texts: Iterable[bytes]) -> None:
        """Raises OSError."""
        self._send(*((Opcode.TEXT, text) for text in texts))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._send((Opcode.CLOSE, b"\x03\xe8"))  # 1000: done
        self._link.close()

    def drop(self) -> None:
        """Close without a word to the server, which may not listen."""
        self._link.close()

    def _send(self, *messages: tuple[Opcode, bytes]) -> None:
        frames = [websocket.frame(opcode, text, os.urandom(4)) for opcode, text in messages]
        if frames:
            self._link.send(b"".join(frames), time.monotonic() + self._heartbeat_s)

    def _wait(self, until_s: float) -> tuple[bool, bool]:
        """Whether it was woken, and whether there is something to read; neither: beat."""
        if self._link.has_pending():
            return False, True
        quiet_since_s = self._heard_s if self._pinged_s is None else self._pinged_s
        left_s = min(quiet_since_s + self._heartbeat_s, until_s) - time.monotonic()
        ready = [descriptor for descriptor, _ in self._poll.poll(_milliseconds(left_s))]
        return self._wakeup.fileno() in ready, self._link.sock.fileno() in ready

    def _read(self) -> None:
        try:
            data = self._link.receive_ready()
        except NOTHING_YET:
            return
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._take(data)

    def _take(self, data: bytes) -> None:
        self._heard_s, self._pinged_s = time.monotonic(), None
        for message in self._parser.feed(data):
            if message.opcode in (Opcode.TEXT, Opcode.BINARY):
                self._lines.append(message.payload)
            elif message.opcode == Opcode.PING:
                self._send((Opcode.PONG, message.payload))
            elif message.opcode == Opcode.CLOSE:
                raise ConnectionResetError("the server ended the stream")

    def _beat(self) -> None:
        if self._poll.poll(0):
            return  # it came while this thread was kept from running: that was not the server
        now_s = time.monotonic()
        if self._pinged_s is not None:
            raise TimeoutError(f"nothing heard for {now_s - self._heard_s:.1f} s")
        self._pinged_s = now_s
        self._send((Opcode.PING, b""))


def connect(
    transport: Transport, path: str, index: int, wakeup: Wakeup, heartbeat_s: float
) -> GatewayStream:
    """Open a stream to this path of the endpoint of this index, within the connect time-out.

    Raises:
        OSError: it cannot be reached; ServerUnavailable: it does not serve now;
        ResponseInvalid: it is no etcd gateway; AuthenticationFailed: it does not know the user.
    """
    settings = transport.settings
    token = transport.token()
    deadline_s = time.monotonic() + settings.connect_timeout_s
    link = transport.dial(index)
    try:
        key = os.urandom(16)
        request = websocket.upgrade(path, link.endpoint.authority, key, token)
        answer = link.exchange(request, deadline_s, settings.limit_bytes)
        if answer.head is None or not websocket.is_accepted(answer.head, key):
            status = answer.head.status if answer.head else 0
            raise answers.unexpected_status(status, bytes(answer.body))
        return GatewayStream(link, answer.leftover, wakeup, (heartbeat_s, settings.limit_bytes))
    except BaseException:
        link.close()
        raise


def _polled(*readable: Wakeup | socket.socket) -> select.poll:
    poll = select.poll()
    for one in readable:
        poll.register(one, select.POLLIN)
    return poll


def _milliseconds(timeout_s: float) -> int:
    return max(0, math.ceil(timeout_s * 1000))
