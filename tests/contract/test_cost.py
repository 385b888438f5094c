"""What a round on etcd costs each member: requests and bytes, and how they grow with their number.

Counted, never timed: a cost that grows with the number of members shows at any speed.
"""

import threading
from contextlib import ExitStack

import pytest
from rounds import Run, enter, until
from stores import EtcdRuns

from rdzv_client import session, wire
from rdzv_client.etcdv3 import connection, requests, transport

FEW, MANY = 4, 24


class Meter:
    """Counts the requests of all clients, and the bytes on all their connections."""

    def __init__(self, monkeypatch):
        self._lock = threading.Lock()
        self.requests = self.bytes = 0
        kept = {"send": connection.Connection.send, "exchange": transport.Transport.send}

        def send(link, data, deadline_s):
            self._add(bytes=len(data))
            return kept["send"](link, data, deadline_s)

        def request(carrier, *args, **kwargs):
            self._add(requests=1)
            return kept["exchange"](carrier, *args, **kwargs)

        monkeypatch.setattr(connection.Connection, "send", send)
        monkeypatch.setattr(transport.Transport, "send", request)
        for name in ("receive", "receive_ready"):
            self._count_received(monkeypatch, name)

    def _count_received(self, monkeypatch, name):
        kept = getattr(connection.Connection, name)

        def receive(link, *args):
            data = kept(link, *args)
            self._add(bytes=len(data))
            return data

        monkeypatch.setattr(connection.Connection, name, receive)

    def _add(self, requests=0, bytes=0):  # noqa: A002
        with self._lock:
            self.requests += requests
            self.bytes += bytes

    def take(self):
        with self._lock:
            taken = self.requests, self.bytes
            self.requests = self.bytes = 0
        return taken


@pytest.fixture
def meter(monkeypatch):
    return Meter(monkeypatch)


@pytest.fixture
def store(shared_etcd):
    store = EtcdRuns(shared_etcd)
    yield store
    store.close()


def make(store, stack, count):
    """Members that form one round together."""
    run = Run(store, stack, lease_ttl=60)
    bounds = {"min_nodes": count, "max_nodes": count}
    return [run.member(f"m{i}", slot=i, **bounds) for i in range(count)]


def cost(store, meter, count):
    """Requests and bytes for each member: of its first round, and of the next."""
    with ExitStack() as stack:
        members = make(store, stack, count)
        costs = []
        for _ in range(2):
            meter.take()
            enter(*members)
            requests, transferred = meter.take()
            costs.append((requests / count, transferred / count))
        return costs


def test_what_a_round_costs_each_member_does_not_grow_with_their_number(store, meter):
    few, many = cost(store, meter, FEW), cost(store, meter, MANY)
    print(f"requests and bytes for each of {FEW}: {few}, of {MANY}: {many}")
    for (few_requests, few_bytes), (many_requests, many_bytes) in zip(few, many, strict=True):
        assert many_requests < 1.1 * few_requests
        assert many_bytes < 1.25 * few_bytes


def test_to_join_takes_a_lease_and_a_write_and_to_agree_one_write_more(store, meter):
    (first, _), (again, _) = cost(store, meter, MANY)
    assert first < 3 + 16 / MANY  # the leader's own: it lists, gives the run a lease, and decides
    assert again < 2 + 16 / MANY  # to come back, and to agree


def test_what_a_member_hears_of_is_watched_from_now_on(store, monkeypatch):
    """What begins in the past is served only when etcd next catches up, up to 100 ms later."""
    asked = []
    create = requests.watch_create

    def note(watch_id, keys, start_revision, **how):
        asked.append((keys, start_revision))
        return create(watch_id, keys, start_revision, **how)

    monkeypatch.setattr(requests, "watch_create", note)
    with ExitStack() as stack:
        enter(*make(store, stack, FEW))
        taken = list(asked)
    assert all(keys.deletes_only for keys, start_revision in taken if start_revision)
    assert len(taken) == 3 * FEW + 2  # round, rank, own end; the leader: all; the next: its end


def test_the_end_of_a_predecessor_who_does_not_lead_is_watched_with_the_first_beat(store):
    with ExitStack() as stack:
        run = Run(store, stack, lease_ttl=2)
        bounds = {"min_nodes": 2, "max_nodes": FEW}
        members = [run.member(f"m{i}", slot=i, **bounds) for i in range(FEW)]
        run.settings(expected=FEW, low=2, high=FEW)
        enter(*members)
        ears = [member._session.backend._ear for member in members]
        until(lambda: all(ear._settled for ear in ears))
        ids = [ear._watch._wanted.keys() for ear in ears if not ear.leading]
        assert [len(watched) for watched in ids] == [4] * (FEW - 1)


def test_a_member_is_not_woken_by_what_is_not_its_to_do(store, monkeypatch):
    """It registers and agrees; what it hears meanwhile is no work of its own thread."""
    looks = []
    advance = session.Session._advance

    def note(self):
        looks.append(self.backend.leading)
        return advance(self)

    monkeypatch.setattr(session.Session, "_advance", note)
    monkeypatch.setattr(session, "_RECHECK_S", 60.0)
    with ExitStack() as stack:
        enter(*make(store, stack, MANY))
        taken = list(looks)
    print(f"{taken.count(False) / MANY} looks of each")
    assert taken.count(False) <= 3 * MANY


def test_a_word_of_progress_costs_one_request_and_nobody_else_hears_of_it(store, meter):
    """Whoever says nothing costs nothing; see also the unit tests of the herald."""
    with ExitStack() as stack:
        members = make(store, stack, MANY)
        enter(*members)
        meter.take()
        for member in members:
            said = wire.Progress(member._session.record.id, 1, 1200, 1.5, {"loss": "0.21"}, 2.5)
            assert member._session.backend.report(said)
        requests, transferred = meter.take()
    print(f"{requests / MANY} requests and {transferred / MANY:.0f} bytes for each word")
    assert requests == MANY
    assert transferred < 2000 * MANY
