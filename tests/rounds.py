"""A run of handlers on a real store, and calls of ``next_rendezvous`` in threads."""

import itertools
import secrets
import threading
import time

from rdzv_client import options, wire
from rdzv_client.session import Session

LIMIT_S = 20.0
_numbers = itertools.count(1)


class Run:
    """One run: its members' handlers, and what an operator writes.

    Args:
        store: One of ``stores``.
        stack: Where what must be closed is entered.
        chosen: Options of all handlers.
    """

    def __init__(self, store, stack, **chosen):
        self.store, self._stack = store, stack
        self.keys = wire.Keys(f"run-{secrets.token_hex(6)}")
        self.options = options.parse({"lease_ttl": 2, "last_call_timeout": 60, **chosen})
        self._seq = 0

    def settings(self, *, expected, low=2, high=4, **more):
        self._seq += 1
        self.store.settle(self.keys, wire.Settings(self._seq, low, high, expected, **more))

    def member(self, name, slot=None, **fields):
        from rdzv_client.handler import ProtocolHandler

        record = wire.Member(
            **{
                "id": f"{name}.{next(_numbers)}",
                "uid": name,
                "slot": slot,
                "name": name,
                "node": "node",
                "addr": "127.0.0.1",
                "min_nodes": 2,
                "max_nodes": 4,
                "stop_timeout_s": 5,
                **fields,
            }
        )
        backend = self.store.backend(self.keys, record, self.options)
        session = Session(backend, self.keys, record, self.options.timing)
        handler = ProtocolHandler("k8s", self.keys.run_id, session, self.options)
        self._stack.callback(handler.shutdown)
        return handler

    def gone(self, handler):
        self.store.gone(self.keys, handler._session.record, "the pod was deleted")

    def drain(self, handler):
        self.store.drain(self.keys, handler._session.record, "scaled in")

    def site(self, handler, topology):
        node = handler._session.record.node
        self.store.site(self.keys, wire.Site(node, topology))


class Entry:
    """One call of ``next_rendezvous`` on a thread of its own."""

    def __init__(self, handler):
        self.handler, self.info, self.error = handler, None, None
        self._thread = threading.Thread(target=self._enter, daemon=True)
        self._thread.start()

    def _enter(self):
        try:
            self.info = self.handler.next_rendezvous()
        except (Exception, SystemExit) as error:
            self.error = error

    def still_waits(self, seconds):
        """Whether it has not returned after so long."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def result(self):
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "next_rendezvous does not return"
        if self.error:
            raise self.error
        return self.info


def enter(*handlers):
    entries = [Entry(handler) for handler in handlers]
    return [entry.result() for entry in entries]


def until(holds):
    """Wait for what nobody announces."""
    ends_at = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < ends_at, "not within the time"
        time.sleep(0.01)


def waits_as_spare(handler):
    """Whether it has found a round that stands without it."""
    return handler._arrival is not None and handler._arrival.was_spare


def told(*handlers):
    """Whether all of these learn that their round has ended."""
    return all(h._session.wait(lambda h=h: h.num_nodes_waiting() == 1, LIMIT_S) for h in handlers)
