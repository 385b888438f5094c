"""What an operator may do with the runs in a TCPStore: see them, and write its own documents."""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from rdzv_client import wire
from rdzv_client.backends.c10d import layout as names_of
from rdzv_client.backends.c10d.layout import Layout, Store, announce, peek, write
from rdzv_client.backends.c10d.line import Line
from rdzv_client.backends.c10d.observer import Observer
from rdzv_client.backends.c10d.operators import declare_gone

MOST_RUNS: Final = 64
"""A job has one, and another one each time that it starts over."""
STORE_TIMEOUT_S: Final = 5.0


class Refusal(Exception):
    """A request that is not granted.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Host:
    """The runs in one store.

    Args:
        connect: Opens a connection to the store.
        token: Returns the token that requests must show.
        seed_wait_s: How long members are kept away at most until the operator has written the
            settings. An empty store where newcomers come first would begin a second world.
        failed: Called when an observer is lost: what the operator would hear is of no worth then.
    """

    def __init__(
        self,
        connect: Callable[[], Store],
        token: Callable[[], str],
        seed_wait_s: float,
        failed: Callable[[Exception], None],
    ) -> None:
        self._connect, self._token, self._failed = connect, token, failed
        self._line = Line(connect, STORE_TIMEOUT_S)
        self._observers: dict[str, Observer] = {}
        self._lock = threading.Lock()
        self._opens_at = time.monotonic() + seed_wait_s
        self._seeded = False

    def admits(self, authorization: str) -> bool:
        """Return whether the header shows the token; the time it takes tells nothing of it."""
        wanted = f"Bearer {self._token()}".encode()
        return hmac.compare_digest(authorization.encode(errors="replace"), wanted)

    @property
    def ready(self) -> bool:
        return self._seeded or time.monotonic() >= self._opens_at

    def check(self) -> None:
        """Raise :class:`rdzv_client.backends.StoreUnavailable` if the store does not answer."""
        self._line.call(lambda store: peek(store, "/healthz"))

    def observer(self, keys: wire.Keys) -> Observer:
        """Return the observer of a run, which begins to observe with the first request."""
        with self._lock:
            known = self._observers.get(keys.run_id)
            if known is None:
                if len(self._observers) >= MOST_RUNS:
                    raise Refusal(409, f"this host has {MOST_RUNS} runs already: it takes no more")
                known = self._observers[keys.run_id] = Observer(self._connect, keys, self._failed)
            return known

    def write(self, keys: wire.Keys, documents: Mapping[str, bytes]) -> None:
        """Write the operator's documents, by their names, all at once."""
        layout = Layout(keys)

        def job(store: Store) -> None:
            gone = {name for name in documents if name.startswith("op/gone/")}
            write(store, layout, {k: v for k, v in documents.items() if k not in gone})
            for name in gone:
                declare_gone(store, keys, wire.decode(wire.Gone, name, documents[name]))
            announce(store, layout, documents)  # nobody may lead yet

        self._line.call(job)
        self._seeded = self._seeded or names_of.SETTINGS in documents


def operators_documents(keys: wire.Keys, body: bytes) -> Mapping[str, bytes]:
    """Read a request to write; return the documents by their names under the run's prefix.

    Raises:
        Refusal: it is not what it should be.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not valid JSON") from None
    if not isinstance(fields, dict) or not all(isinstance(v, str) for v in fields.values()):
        raise Refusal(400, "the body must be a JSON object of texts: documents by their keys")
    try:
        return dict(_checked(keys, key, value) for key, value in fields.items())
    except wire.WireError as error:
        raise Refusal(400, str(error)) from None


def _checked(keys: wire.Keys, key: str, text: str) -> tuple[str, bytes]:
    value = text.encode(errors="replace")
    if key == keys.settings:
        wire.decode(wire.Settings, key, value)
    elif key.startswith(keys.gone_prefix):
        _must_be(key, keys.gone(wire.decode(wire.Gone, key, value).uid))
    elif key.startswith(keys.drain_prefix):
        _must_be(key, keys.drain(wire.decode(wire.Drain, key, value).uid))
    elif key.startswith(keys.site_prefix):
        _must_be(key, keys.site(wire.decode(wire.Site, key, value).node))
    else:
        raise wire.WireError(
            f"{key!r} is not for the operator to write; that is {keys.settings}, and what stands "
            f"under {keys.gone_prefix}, {keys.drain_prefix} and {keys.site_prefix}"
        )
    return key.removeprefix(keys.prefix), value


def _must_be(given: str, wanted: str) -> None:
    if given != wanted:
        raise wire.WireError(f"the document under {given!r} belongs under {wanted!r}")
