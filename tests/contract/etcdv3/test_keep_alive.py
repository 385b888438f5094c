"""A lease that is kept alive on a stream, and by requests where there is none."""

import pytest

from rdzv_client import etcdv3
from rdzv_client.etcdv3 import connection, messages

TIME_S = 5.0


@pytest.fixture
def new_keep_alive():
    kept = []

    def make(client):
        kept.append(etcdv3.KeepAlive(client))
        return kept[-1]

    yield make
    for keep_alive in kept:
        keep_alive.close()


@pytest.fixture
def meter(monkeypatch):
    """Counts the bytes on all connections, and how many of these are made."""

    class Meter:
        bytes = connections = 0

    def counted(name, size_of):
        kept = getattr(connection.Connection, name)

        def call(link, *args):
            result = kept(link, *args)
            Meter.bytes += len(size_of(result, *args))
            return result

        monkeypatch.setattr(connection.Connection, name, call)

    counted("send", lambda _, data, *__: data)
    counted("receive", lambda result, *_: result)
    counted("receive_ready", lambda result, *_: result)
    dial = connection.dial

    def dialled(*args):
        Meter.connections += 1
        return dial(*args)

    monkeypatch.setattr(connection, "dial", dialled)
    return Meter


def beat_on_stream(keep_alive, lease):
    """The first beat is a request, the next one opens the stream."""
    for _ in range(2):
        keep_alive.beat(lease, TIME_S)


def test_each_beat_has_the_lease_live_for_another_full_time(client, new_keep_alive, follow):
    keep_alive, lease = new_keep_alive(client), client.grant(2)
    client.put("a", b"1", lease)
    seen = follow(client, messages.one("a")).until(lambda seen: seen.created())
    for _ in range(3):
        assert keep_alive.beat(lease, TIME_S) == 2
    seen.until(lambda seen: ("delete", "a", b"") in seen.events)  # nobody kept it alive
    with pytest.raises(etcdv3.LeaseNotFound, match=f"lease {lease} is gone"):
        keep_alive.beat(lease, TIME_S)


def test_after_a_lease_that_is_gone_another_one_can_be_kept(client, new_keep_alive):
    keep_alive, lost, next_one = new_keep_alive(client), client.grant(60), client.grant(30)
    beat_on_stream(keep_alive, lost)
    client.revoke(lost)
    with pytest.raises(etcdv3.LeaseNotFound):
        keep_alive.beat(lost, TIME_S)
    assert keep_alive.beat(next_one, TIME_S) == 30


def test_a_beat_takes_few_bytes_and_no_connection(shared_etcd, connect, new_keep_alive, meter):
    client = connect(shared_etcd.url)
    keep_alive, lease = new_keep_alive(client), client.grant(60)
    beat_on_stream(keep_alive, lease)
    connections, meter.bytes = meter.connections, 0
    for _ in range(10):
        keep_alive.beat(lease, TIME_S)
    assert meter.connections == connections
    assert meter.bytes < 10 * 220


def test_the_first_beat_takes_no_connection_of_its_own(shared_etcd, connect, new_keep_alive, meter):
    """Many join at the same time, and etcd is busy enough with that."""
    client = connect(shared_etcd.url)
    keep_alive, lease = new_keep_alive(client), client.grant(60)
    connections = meter.connections
    keep_alive.beat(lease, TIME_S)
    assert meter.connections == connections


def test_a_restarted_server_is_asked_at_once(etcd, connect, new_keep_alive):
    client = connect(etcd.url)
    keep_alive, lease = new_keep_alive(client), client.grant(60)
    beat_on_stream(keep_alive, lease)
    etcd.restart()
    for _ in range(12):  # by requests at first, then on a new stream
        assert keep_alive.beat(lease, TIME_S) == 60


def test_a_frozen_server_is_waited_for_only_so_long(etcd, connect, new_keep_alive):
    client = connect(etcd.url)
    keep_alive, lease = new_keep_alive(client), client.grant(60)
    beat_on_stream(keep_alive, lease)
    etcd.freeze()
    for _ in range(2):
        with pytest.raises(etcdv3.RequestTimedOut):
            keep_alive.beat(lease, 0.3)
    etcd.thaw()
    assert keep_alive.beat(lease, TIME_S) == 60


def test_a_frozen_endpoint_leaves_time_for_the_next_one(etcd, shared_etcd, connect, new_keep_alive):
    lease = connect(shared_etcd.url).grant(60)
    keep_alive = new_keep_alive(connect(etcd.url, shared_etcd.url))
    etcd.freeze()
    assert keep_alive.beat(lease, TIME_S) == 60


def test_where_no_stream_is_to_be_had_requests_do(connect, new_keep_alive, impostor):
    body = b'{"result":{"header":{"cluster_id":"1"},"ID":"7","TTL":"60"}}'
    answers = []

    def answer(request):
        answers.append(request.split(b" ", 1)[0])
        head = b"404 Not Found" if answers[-1] == b"GET" else b"200 OK"
        content = b"" if answers[-1] == b"GET" else body
        return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(content), content)

    keep_alive = new_keep_alive(connect(impostor(answer).url))
    for _ in range(5):
        assert keep_alive.beat(7, TIME_S) == 60
    assert answers == [b"POST", b"GET", *[b"POST"] * 4]
