"""Getting a request carried out by one of several endpoints, within a time limit.

The rule for repeating: a request that changes nothing, or whose repetition changes nothing, goes
to the next endpoint; any other only when it certainly never left. A write without an answer is
reported as ambiguous, because only the caller knows how to look up what became of it.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

from rdzv_client.etcdv3 import connection, errors, http1, requests, stream
from rdzv_client.etcdv3.endpoints import Endpoint, TlsFiles
from rdzv_client.etcdv3.stream import Stream, Wakeup

T = TypeVar("T")

_MAX_IDLE_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """How to reach and use the store.

    Attributes:
        endpoints: tried in this order, the last that worked first.
        user, password: for etcd's own authentication; None: without.
        password_file: in place of ``password``: a file with it, read again for each log-in.
        request_timeout_s: for a request as a whole, over all endpoints it is tried on.
        connect_timeout_s: for one connection, TLS included.
        limit_bytes: the longest answer, and the longest message of a watch, that is accepted.
    """

    endpoints: tuple[Endpoint, ...]
    tls: TlsFiles = field(default_factory=TlsFiles)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: str | Path | None = None
    request_timeout_s: float = 5.0
    connect_timeout_s: float = 2.0
    limit_bytes: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("request_timeout_s", "connect_timeout_s", "limit_bytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file: give only one")
        if (self.user is None) != (self.password is None and self.password_file is None):
            raise ValueError("user and password belong together: give both or none")
        self.read_password()
        if any(endpoint.secure for endpoint in self.endpoints):
            self.tls.context()  # wrong files are told now, not at the first request

    def read_password(self) -> str | None:
        """The password as it is now. Raises ValueError that names the file it cannot be read in."""
        if self.password_file is None:
            return self.password
        try:
            password = Path(self.password_file).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot read the password in {self.password_file}: {error}") from None
        if not password:
            raise ValueError(f"the password file {self.password_file} is empty")
        return password


class Carrier(Protocol):
    """What a client needs of that which carries its requests; :class:`Transport` is the usual one.

    The errors are those of :class:`rdzv_client.etcdv3.Client`.
    """

    settings: Settings

    def send(self, request: requests.Request[T], timeout_s: float | None = None) -> T:
        """Have the request carried out, over all endpoints within the time."""

    def open_stream(self, path: str, index: int, wakeup: Wakeup, heartbeat_s: float) -> Stream:
        """Open a stream of messages to the endpoint of this index. Raises OSError, too."""

    def preferred(self) -> int:
        """The index of the endpoint that answered last."""

    def token(self) -> str | None:
        """What the user is known by; None when there is no user."""

    def forget_token(self) -> None:
        """Get another token when the next one is needed."""

    def copy(self, request_timeout_s: float) -> Carrier:
        """Another one to the same endpoints, with a time-out of its own."""

    def close(self) -> None:
        """Close what is idle; a later request opens it again."""


class Transport:
    """Connections that are kept and reused; safe for threads, and for use after a fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._idle = self._new_idle()
        self._closings = 0
        self._pid = os.getpid()
        self._preferred = 0
        self._token: str | None = None

    def send(self, request: requests.Request[T], timeout_s: float | None = None) -> T:
        """Have the request carried out.

        Raises:
            ConnectionFailed, RequestTimedOut: no endpoint did; ``ambiguous`` tells about writes.
            RequestRefused (or what is derived from it), ResponseInvalid: from the server's answer.
        """
        deadline_s = time.monotonic() + (timeout_s or self.settings.request_timeout_s)
        try:
            return self._send_with_token(request, deadline_s)
        except errors.TokenInvalid:
            if self.settings.user is None:
                raise
            self._token = None  # it was refused before anything was done: safe for writes too
            return self._send_with_token(request, deadline_s)

    def token(self, deadline_s: float | None = None) -> str | None:
        """The token that etcd issued for user and password; None when none is needed."""
        if self.settings.user is None:
            return None
        if self._token is None:
            deadline_s = deadline_s or time.monotonic() + self.settings.request_timeout_s
            asked = requests.authenticate_request(self.settings.user, self._password())
            try:
                self._token = self._try_endpoints(asked, None, deadline_s)
            except errors.RequestRefused as error:
                if "authentication is not enabled" not in error.reason:
                    raise
                return None
        return self._token

    def forget_token(self) -> None:
        self._token = None

    def _password(self) -> str:
        try:
            return self.settings.read_password() or ""
        except ValueError as error:  # the file is just being replaced, or by something unusable
            raise errors.ConnectionFailed([(str(self.settings.user), str(error))]) from error

    def copy(self, request_timeout_s: float) -> Transport:
        """Another one to the same endpoints, with connections and a time-out of its own."""
        return Transport(replace(self.settings, request_timeout_s=request_timeout_s))

    def preferred(self) -> int:
        """The index of the endpoint that answered last."""
        return self._preferred

    def dial(self, index: int, timeout_s: float | None = None) -> connection.Connection:
        """A new connection, not shared and not kept. Raises OSError."""
        settings = self.settings
        endpoint = settings.endpoints[index % len(settings.endpoints)]
        limit_s = min(settings.connect_timeout_s, timeout_s or settings.connect_timeout_s)
        try:
            return connection.dial(endpoint, settings.tls, limit_s)
        except ValueError as error:  # a certificate file was replaced by something unusable
            raise OSError(str(error)) from error

    def open_stream(self, path: str, index: int, wakeup: Wakeup, heartbeat_s: float) -> Stream:
        """Open a WebSocket to this path of the endpoint of this index (:func:`stream.connect`)."""
        return stream.connect(self, path, index, wakeup, heartbeat_s)

    def close(self) -> None:
        """Close idle connections; those in use close when their request is done."""
        self._closings += 1
        _close_all(self._idle)

    def _new_idle(self) -> deque[connection.Connection]:
        """Room for connections that are kept; they are closed when nobody has the client."""
        idle: deque[connection.Connection] = deque()  # its append and pop are atomic
        weakref.finalize(self, _close_all, idle).atexit = False
        return idle

    def _send_with_token(self, request: requests.Request[T], deadline_s: float) -> T:
        return self._try_endpoints(request, self.token(deadline_s), deadline_s)

    def _try_endpoints(
        self, request: requests.Request[T], token: str | None, deadline_s: float
    ) -> T:
        order = self._order()
        attempts: list[tuple[str, str]] = []
        for tried, index in enumerate(order):
            left_s = deadline_s - time.monotonic()
            # A repeatable request leaves each endpoint its share of the time.
            share_s = left_s / (len(order) - tried) if request.repeatable else left_s
            try:
                answer = self._try_endpoint(index, request, token, time.monotonic() + share_s)
            except (OSError, errors.ServerUnavailable) as error:
                attempts.append((str(self.settings.endpoints[index]), _words(error)))
                unsent = isinstance(error, connection.NotSent)
                if request.repeatable or unsent:
                    last = error
                    continue
                self._preferred = (index + 1) % len(order)
                raise _failure(attempts, error, ambiguous=True) from error
            self._preferred = index
            return answer
        raise _failure(attempts, last, ambiguous=False) from last

    def _order(self) -> Sequence[int]:
        count = len(self.settings.endpoints)
        first = self._preferred
        return [(first + offset) % count for offset in range(count)]

    def _try_endpoint(
        self, index: int, request: requests.Request[T], token: str | None, deadline_s: float
    ) -> T:
        while True:
            link, reused = self._take(index, deadline_s)
            try:
                return self._exchange(link, request, token, deadline_s)
            except OSError as error:
                # A kept connection may have died unnoticed: that says nothing about the endpoint.
                unsent = isinstance(error, connection.NotSent)
                if not (reused and (request.repeatable or unsent)) or _is_timeout(error):
                    raise

    def _exchange(
        self,
        link: connection.Connection,
        request: requests.Request[T],
        token: str | None,
        deadline_s: float,
    ) -> T:
        closings = self._closings
        raw = http1.post(request.path, link.endpoint.authority, request.body, token)
        try:
            parser = link.exchange(raw, deadline_s, self.settings.limit_bytes)
        except BaseException:
            link.close()
            raise
        head = parser.head
        keeps = head is not None and head.keeps_connection and self._closings == closings
        if not keeps or len(self._idle) >= _MAX_IDLE_CONNECTIONS:
            link.close()
        else:
            self._idle.append(link)
        return request.answer(head.status if head else 0, bytes(parser.body))

    def _take(self, index: int, deadline_s: float) -> tuple[connection.Connection, bool]:
        """A connection to the endpoint, and whether it was used before. Raises NotSent."""
        if self._pid != os.getpid():  # a forked child must not talk on its parent's connections
            self._pid, self._idle = os.getpid(), self._new_idle()
        wanted = self.settings.endpoints[index]
        with contextlib.suppress(IndexError):
            while True:
                link = self._idle.pop()
                if link.endpoint == wanted and not link.is_stale():
                    return link, True
                link.close()
        try:
            return self.dial(index, max(deadline_s - time.monotonic(), 0.001)), False
        except OSError as error:
            raise connection.NotSent(str(error)) from error


def _close_all(idle: deque[connection.Connection]) -> None:
    with contextlib.suppress(IndexError):
        while True:
            idle.pop().close()


def _failure(
    attempts: Sequence[tuple[str, str]], last: Exception, *, ambiguous: bool
) -> errors.ConnectionFailed:
    kind = errors.RequestTimedOut if _is_timeout(last) else errors.ConnectionFailed
    return kind(attempts, ambiguous=ambiguous)


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError)


def _words(error: Exception) -> str:
    if isinstance(error, errors.ServerUnavailable):
        return error.reason
    return "no answer in time" if _is_timeout(error) else str(error) or type(error).__name__
