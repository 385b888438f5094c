"""A connection that never waits beyond its deadline, and looks up only what is a name."""

import collections
import contextlib
import re
import select
import socket
import threading
import time

import pytest

from localcluster import certificates
from rdzv_client.etcdv3 import connection, endpoints
from rdzv_client.etcdv3.endpoints import TlsFiles

LIMIT_S = 20.0
MANY_BYTES = 8 * 1024 * 1024  # more than the buffers of a connection hold


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def pair(server):
    """Our end and the server's."""
    link = connection.dial(endpoint(server, "127.0.0.1"), TlsFiles(), LIMIT_S)
    there, _ = server.accept()
    with contextlib.closing(link), there:
        yield link, there


def endpoint(server, host):
    return endpoints.Endpoint(host, server.getsockname()[1], secure=False)


def soon(seconds=LIMIT_S):
    return time.monotonic() + seconds


@pytest.mark.parametrize(("host", "looked_up"), [("127.0.0.1", 0), ("localhost", 1)])
def test_a_name_is_looked_up_and_an_address_is_not(server, monkeypatch, host, looked_up):
    asked = []
    look_up = socket.getaddrinfo

    def note(*args, **kwargs):
        asked.append(args)
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", note)
    connection.dial(endpoint(server, host), TlsFiles(), LIMIT_S).close()
    assert len(asked) == looked_up


@pytest.mark.parametrize(
    ("host", "family"),
    [
        ("10.0.0.1", socket.AF_INET),
        ("::1", socket.AF_INET6),
        ("etcd-0", None),
        ("10.0.0", None),
        ("fe80::1%eth0", None),
    ],
)
def test_addresses_are_told_from_names(host, family):
    assert endpoints.Endpoint(host, 2379, secure=False).family == family


def test_what_the_other_end_takes_slowly_is_sent_whole(pair):
    link, there = pair
    taken = bytearray()

    def take():
        while len(taken) < MANY_BYTES:
            taken.extend(there.recv(64 * 1024))

    reader = threading.Thread(target=take, daemon=True)
    data = bytes(range(256)) * (MANY_BYTES // 256)
    reader.start()
    link.send(data, soon())
    reader.join(LIMIT_S)
    assert taken == data


def test_what_the_other_end_does_not_take_ends_with_the_deadline(pair):
    link, _ = pair
    with pytest.raises(TimeoutError):
        link.send(bytes(MANY_BYTES), soon(0.05))


def test_nothing_is_sent_after_the_deadline(pair):
    link, there = pair
    with pytest.raises(TimeoutError):
        link.send(b"late", soon(-1))
    assert select.select([there], [], [], 0) == ([], [], [])


def test_an_answer_is_awaited_until_the_deadline(pair):
    link, there = pair
    with pytest.raises(TimeoutError):
        link.receive(soon(0.05))
    there.sendall(b"late")
    assert link.receive(soon()) == b"late"
    there.close()
    assert link.receive(soon()) == b""


def test_what_has_not_come_is_not_waited_for(pair):
    link, _ = pair
    with pytest.raises(connection.NOTHING_YET):
        link.receive_ready()


class Counted:
    """A socket that counts what is done with it."""

    def __init__(self, sock):
        self._sock, self.calls = sock, collections.Counter()

    def __getattr__(self, name):
        self.calls[name] += 1
        return getattr(self._sock, name)


def test_an_exchange_is_one_send_and_one_receive(pair):
    link, there = pair
    link.sock = counted = Counted(link.sock)
    there.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    parser = link.exchange(b"POST / HTTP/1.1\r\n\r\n", soon(), limit_bytes=100)
    assert bytes(parser.body) == b"{}"
    assert counted.calls == {"send": 1, "recv": 1}


# Certificates


@pytest.fixture
def files(tmp_path):
    """An authority's certificate, and what replaces it."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    first, second = (certificates.new_authority(folder).ca for folder in folders)
    return TlsFiles(ca=first.certificate), second.certificate


def test_certificates_are_read_once_until_they_are_replaced(files):
    tls, renewed = files
    before = tls.context()
    assert tls.context() is before
    renewed.replace(tls.ca)
    after = tls.context()
    assert after is not before
    assert after.get_ca_certs() != before.get_ca_certs()
    assert tls.context() is after


def test_certificates_that_vanished_are_told(files):
    tls, _ = files
    tls.context()
    tls.ca.unlink()
    with pytest.raises(ValueError, match=re.escape(str(tls.ca))):
        tls.context()
