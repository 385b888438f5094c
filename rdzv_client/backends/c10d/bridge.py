"""The runs in a TCPStore over HTTP, for an operator that has no torch.

==========================  ======================================================================
``GET /v1/runs/RUN``        all that stands in the run, as one line
``GET /v1/runs/RUN/feed``   the same, then a line for each change as it happens
``POST /v1/runs/RUN``       write documents of the operator's own: ``{KEY: DOCUMENT, ...}``
``GET /readyz``             whether members may come: the operator has written a run's settings
``GET /healthz``            whether the store answers
==========================  ======================================================================

A line is a JSON object: ``{"documents": {KEY: DOCUMENT, ...}}`` with null for a document that is no
more. The first one has ``"past"`` as well: the documents of each of the last rounds that were
formed, with ``?after=N`` only of those after round N. An empty one says that nothing has happened.
Keys and documents are those of :mod:`rdzv_client.wire`. All but the probes needs the token, as
``Authorization: Bearer TOKEN``. What is refused is refused with a sentence.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from rdzv_client import wire
from rdzv_client.backends import StoreUnavailable
from rdzv_client.backends.c10d.host import Host, Refusal, operators_documents
from rdzv_client.backends.c10d.observer import Listing, Observer
from rdzv_client.backends.c10d.picture import Changes

log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_CONNECTIONS: Final = 64
REQUEST_TIMEOUT_S: Final = 10.0
QUIET_S: Final = 5.0
"""After so long an empty line says that nothing has happened."""

_MAX_WASTE_BYTES: Final = 8 * MAX_BODY_BYTES
_RUNS: Final = "/v1/runs/"


class Bridge(ThreadingHTTPServer):
    """Serves one host; ``serve_forever`` runs it.

    Args:
        host: What there is to see and to do.
        port: Where to listen, on all addresses.
    """

    daemon_threads = True
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def __init__(self, host: Host, port: int) -> None:
        self.host = host
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(("", port), _Request)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            log.debug("A connection of %s was cut: %s", client_address, error)
        else:
            log.error("The bridge has a fault here", exc_info=error)


class _Request(BaseHTTPRequestHandler):
    server: Bridge
    timeout = REQUEST_TIMEOUT_S
    _has_body = False

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._has_body = True
        self._answer(self._post)

    def _answer(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Refusal as refusal:
            self.send_error(refusal.status, str(refusal))
        except StoreUnavailable as error:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, f"the store is not available: {error}")
        if self._has_body:
            self._waste_body()

    def _get(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/healthz":
            self.server.host.check()
            self._say("the store answers")
        elif path == "/readyz":
            self._ready()
        else:
            self._authorize()
            name = path.removesuffix("/feed")
            keys, after = self._run(name), _after(query)
            observer = self.server.host.observer(keys)
            if name == path:
                self._list(observer, after)
            else:
                self._feed(observer, after)

    def _ready(self) -> None:
        if not self.server.host.ready:
            raise Refusal(503, "the operator has not written the run's settings yet")
        self._say("members may come")

    def _post(self) -> None:
        self._authorize()
        keys = self._run(self.path)
        self.server.host.write(keys, operators_documents(keys, self._body()))
        self._say("written")

    def _authorize(self) -> None:
        if not self.server.host.admits(self.headers.get("Authorization", "")):
            log.debug("Refused a request of %s: it does not show the token.", self.client_address)
            raise Refusal(401, "the header Authorization must be 'Bearer ' and the host's token")

    def _run(self, path: str) -> wire.Keys:
        run_id = path.removeprefix(_RUNS)
        if run_id == path or "/" in run_id:
            raise Refusal(404, f"there is nothing at {path!r}; runs are at {_RUNS}RUN")
        try:
            return wire.Keys(urllib.parse.unquote(run_id))
        except wire.WireError as error:
            raise Refusal(400, str(error)) from None

    def _body(self) -> bytes:
        length = self._length()
        if length is None:
            raise Refusal(411, "the header Content-Length must say how long the body is")
        if length > MAX_BODY_BYTES:
            raise Refusal(413, f"the body has {length} bytes; at most {MAX_BODY_BYTES} are allowed")
        self._has_body = False
        return self.rfile.read(length)

    def _waste_body(self) -> None:
        """Take in, within limits, what was refused unread: closing on it could lose the answer."""
        left = min(self._length() or 0, _MAX_WASTE_BYTES)
        until = time.monotonic() + REQUEST_TIMEOUT_S
        while left > 0 and time.monotonic() < until and (part := self.rfile.read1(left)):
            left -= len(part)

    def _length(self) -> int | None:
        length = self.headers.get("Content-Length", "")
        return int(length) if length.isascii() and length.isdigit() and len(length) < 16 else None

    # --- answers ---

    def _list(self, observer: Observer, after: int) -> None:
        with observer.reader() as (listing, _):
            self._begin("application/json")
            self._line(_described(listing, after))

    def _feed(self, observer: Observer, after: int) -> None:
        """Tell of every change, until the reader goes, or is too slow."""
        with observer.reader() as (listing, reader):
            self._begin("application/x-ndjson")
            self._line(_described(listing, after))
            while (changes := reader.next(QUIET_S)) is not None:
                self._line(_documents(changes) if changes else {})

    def _line(self, content: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(content, separators=(",", ":")).encode() + b"\n")

    def _say(self, words: str) -> None:
        self._begin("text/plain; charset=utf-8")
        self.wfile.write(f"{words}\n".encode())

    def _begin(self, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse with one sentence; what the base class refuses comes here, too."""
        words = message or explain or HTTPStatus(code).phrase
        self._begin("text/plain; charset=utf-8", code)
        self.wfile.write(f"{words}\n".encode())

    def version_string(self) -> str:
        return "rdzv-bridge"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        log.debug(format, *args)


def _after(query: str) -> int:
    given = urllib.parse.parse_qs(query).get("after", ["0"])[-1]
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise Refusal(400, f"after={given!r} must be the number of a round")
    return int(given)


def _described(listing: Listing, after: int) -> dict[str, Any]:
    past = [_texts(kept.documents) for kept in listing.past if kept.number > after]
    return {"past": past, **_documents(listing.documents)}


def _documents(changes: Changes) -> dict[str, Any]:
    return {"documents": _texts(changes)}


def _texts(documents: Changes) -> dict[str, str | None]:
    return {
        key: None if value is None else value.decode(errors="replace")
        for key, value in documents.items()
    }
