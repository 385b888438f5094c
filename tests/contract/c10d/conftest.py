"""TCPStore servers, and members that are watched closely."""

import contextlib
import itertools
import threading
import time

import pytest
import stores

from rdzv_client import publication, wire
from rdzv_client.backends import StoreUnavailable

pytest.importorskip("torch", reason="the training environment is not installed")

LIMIT_S = 20.0
LEASE_S = 2.0


class Seat:
    """One member's backend, and all that its listener is told."""

    def __init__(self, endpoint, keys, name, slot=None):
        from rdzv_client.backends.c10d import C10dBackend

        self.record = wire.Member(name, name, slot, name, "node", "127.0.0.1", 1, 4)
        self.keys = keys
        self.backend = C10dBackend(endpoint, keys, name, LEASE_S, read_timeout_s=2.0)
        self.told = []
        self.documents = {}
        self.lively = True
        self._changed = threading.Condition()
        self.backend.start(self)

    def register(self):
        self.backend.register(self.record)
        return self

    def come_back(self):
        """Register again as soon as the store can be reached, as a session does."""
        self.until(lambda: "lapsed" in self.told)
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            try:
                return self.register()
            except StoreUnavailable:
                assert time.monotonic() < deadline_s, "the store cannot be reached"
                time.sleep(0.05)  # there is nobody yet who could tell

    def lead(self):
        return self.until(lambda: self.backend.leading)

    @property
    def round(self):
        return self.documents.get(self.keys.round)

    def members(self):
        prefix = self.keys.members
        return {key.rsplit("/", 1)[1] for key in self.documents if key.startswith(prefix)}

    def publish(self, number, *names, phase="proposed"):
        """Write a round of these members; return whether it was taken."""
        ranks = [
            wire.Rank(number, self.record.id, place, name, name, None, name, "node")
            for place, name in enumerate(names)
        ]
        new = wire.Round(number, number, phase, "start", "because", 0, len(ranks), self.record.id)
        revision = self.round.mod_revision if self.round else 0
        return self.backend.publish(publication.Publication(new, tuple(ranks)), revision)

    def number(self):
        return wire.decode(wire.Round, self.round.key, self.round.value).number if self.round else 0

    def until(self, condition):
        with self._changed:
            assert self._changed.wait_for(condition, LIMIT_S), f"not in time; told {self.told}"
        return self

    # --- the listener ---

    def listed(self, records, *, continuous):
        with self._changed:
            self.documents = {record.key: record for record in records}
            self._tell("listed anew" if continuous else "listed")

    def changed(self, puts, deletes):
        with self._changed:
            self.documents.update({record.key: record for record in puts})
            for key in deletes:
                self.documents.pop(key, None)
            self._tell("changed")

    def alive(self):
        return self.lively

    def beaten(self):
        with self._changed:
            self._tell("beaten")

    def lapsed(self):
        with self._changed:
            self._tell("lapsed")

    def unreachable(self, error):
        with self._changed:
            self._tell("unreachable")

    def _tell(self, what):
        if self.told[-1:] != [what]:
            self.told.append(what)
        self._changed.notify_all()


_runs = itertools.count(1)


class Table:
    """A run on a TCPStore, and the seats at it."""

    def __init__(self, store, stack):
        self.store, self._stack = store, stack
        self.keys = wire.Keys(f"table-{next(_runs)}")

    def seat(self, name, endpoint=None, **how):
        seat = Seat(endpoint or self.store.endpoint(2.0), self.keys, name, **how)
        self._stack.callback(seat.backend.stop)
        return seat


@pytest.fixture(scope="session")
def shared_tcp_store():
    with contextlib.closing(stores.C10dRuns()) as store:
        yield store


@pytest.fixture
def new_table(shared_tcp_store):
    """Make runs on the shared server."""
    with contextlib.ExitStack() as stack:
        yield lambda: Table(shared_tcp_store, stack)


@pytest.fixture
def table(new_table):
    return new_table()


@pytest.fixture
def fragile_table():
    """On a server of its own, to be mistreated."""
    with contextlib.closing(stores.C10dRuns()) as store, contextlib.ExitStack() as stack:
        yield Table(store, stack)
