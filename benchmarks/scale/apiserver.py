"""The API server over HTTPS, for many threads at once: as much of a client as a trial needs."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from localcluster.controlplane import ControlPlane

Document = dict[str, Any]

_TIMEOUT_S: Final = 60.0
_JSON: Final = {"Content-Type": "application/json"}


class ApiServer:
    """An API server, as its administrator sees it; each thread has a connection of its own."""

    def __init__(self, plane: ControlPlane) -> None:
        api = plane.api
        self._trust = ssl.create_default_context(cafile=api.authority)
        self._trust.load_cert_chain(api.identity.certificate, api.identity.key)
        self._where = urlsplit(api.url).netloc
        self._own = threading.local()

    def create(self, path: str, body: Document) -> Document:
        """Create an object in the collection at this path, and return it."""
        return self._ask("POST", path, body)

    def get(self, path: str) -> Document:
        """Return the object, or the list, at this path."""
        return self._ask("GET", path)

    def watch(self, path: str) -> Iterator[Document]:
        """List what is at this path, then follow its changes without end.

        What is there already comes as events of the type ADDED.

        Raises:
            OSError: the server has forgotten what came since the last event.
        """
        listing = self._ask("GET", path)
        for item in listing["items"]:
            yield {"type": "ADDED", "object": item}
        version = listing["metadata"]["resourceVersion"]
        while True:  # the server cuts off whoever does not keep up
            connection = self._connect(timeout_s=None)
            connection.request("GET", f"{path}?watch=1&resourceVersion={version}")
            for line in connection.getresponse():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise OSError(f"the watch of {path}: {event['object'].get('message')}")
                version = event["object"]["metadata"]["resourceVersion"]
                yield event
            connection.close()

    def _ask(self, method: str, path: str, body: Document | None = None) -> Document:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._connect(_TIMEOUT_S)
        connection.request(method, path, None if body is None else json.dumps(body), _JSON)
        response = connection.getresponse()
        text = response.read()
        if response.status >= 300:
            raise OSError(f"{method} {path}: {response.status}: {text.decode()[:500]}")
        answer: Document = json.loads(text)
        return answer

    def _connect(self, timeout_s: float | None) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._where, timeout=timeout_s, context=self._trust)
