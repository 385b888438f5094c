"""Real etcd servers, and servers that are not etcd."""

import contextlib
import socket
import threading

import pytest
import stores
from etcd_server import Etcd, free_ports

from localcluster import certificates
from rdzv_client import etcd3_adapter, etcdv3


@pytest.fixture(scope="session")
def shared_etcd(tmp_path_factory):
    etcd = Etcd(tmp_path_factory.mktemp("etcd")).start()
    yield etcd
    etcd.kill()


@pytest.fixture
def client(shared_etcd, connect_either):
    """A client of the shared server, which is emptied afterwards."""
    client = etcd3_adapter.adapt(connect_either(shared_etcd))
    yield client
    client.delete_prefix("")


@pytest.fixture
def connect():
    """Make clients, closed at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda *urls, **settings: stack.enter_context(etcdv3.Client(urls, **settings))


@pytest.fixture(params=["own client", "etcd3"])
def connect_either(request):
    """Make clients of an etcd, of ours or of the package ``etcd3``; closed at the end."""
    with contextlib.ExitStack() as stack:

        def connect(etcd):
            if request.param == "etcd3":
                return stack.enter_context(stores.connect_etcd3(etcd.port))
            return stack.enter_context(etcdv3.Client([etcd.url]))

        yield connect


@pytest.fixture
def dead_url():
    """An endpoint where nobody listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


# --- the stores of the session tests, one of each kind ---


ETCD_RUNS = {"etcd": stores.EtcdRuns, "etcd3": stores.Etcd3Runs}
KINDS = [*ETCD_RUNS, "blob", "c10d"]


@pytest.fixture(scope="session", params=KINDS)
def shared_store(request):
    """A store that many tests use side by side, each with a run of its own."""
    with contextlib.closing(_store(request, "shared_etcd")) as store:
        yield store


@pytest.fixture(params=KINDS)
def own_store(request):
    """A store of the test's own, to be mistreated."""
    with contextlib.closing(_store(request, "etcd")) as store:
        yield store


@pytest.fixture
def unreachable_store(own_store):
    """A store that cannot be reached, and the words that must name it."""
    return own_store, own_store.vanish()


def _store(request, etcd):
    if request.param == "blob":
        return stores.BlobRuns()
    if request.param == "c10d":
        pytest.importorskip("torch", reason="the training environment is not installed")
        return stores.C10dRuns()
    return ETCD_RUNS[request.param](request.getfixturevalue(etcd))


class Follower:
    """A watch that is iterated in a thread, with what came of it."""

    def __init__(self, watch):
        self.watch = watch
        self.batches = []
        self.ended = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    @property
    def events(self):
        return [(e.kind, e.kv.key, e.kv.value) for batch in self.batches for e in batch.events]

    def created(self):
        return sum(batch.created for batch in self.batches)

    def until(self, condition, limit_s=10.0):
        """Wait until ``condition(self)`` holds."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), limit_s), (
                f"not within {limit_s} s; ended with {self.ended!r}, seen {self.batches[-3:]}"
            )
        return self

    def until_ended(self, limit_s=10.0):
        return self.until(lambda self: self.ended is not None, limit_s).ended

    def close(self):
        self.watch.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _follow(self):
        ended = "closed"
        try:
            for batch in self.watch:
                with self._changed:
                    self.batches.append(batch)
                    self._changed.notify_all()
        except Exception as error:
            ended = error
        with self._changed:
            self.ended = ended
            self._changed.notify_all()


@pytest.fixture
def follow():
    """Make watches that are followed in threads, closed at the end."""
    followers = []

    def follow(client, *ranges, **settings):
        followers.append(Follower(etcdv3.Watch(client, ranges, **settings)))
        return followers[-1]

    yield follow
    for follower in followers:
        follower.close()


# Servers that are not etcd


class Impostor:
    """Answers each connection's first request with the given bytes, then closes or hangs."""

    def __init__(self, reply, *, hang=False):
        self._reply = reply
        self._hang = hang
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links = []
        self.requests = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self._links:
            link.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                self._links.append(link)
                request = b""
                while b"\r\n\r\n" not in request:
                    request += link.recv(65536)
                self.requests += 1
                reply = self._reply(request) if callable(self._reply) else self._reply
                with contextlib.suppress(OSError):
                    link.sendall(reply)
                    if not self._hang:
                        link.shutdown(socket.SHUT_WR)


@pytest.fixture
def impostor():
    """Make servers that answer with what a test says."""
    with contextlib.ExitStack() as stack:
        yield lambda reply, **how: stack.enter_context(contextlib.closing(Impostor(reply, **how)))


# Certificates


class Authority:
    """Issues certificates, in a folder of its own."""

    def __init__(self, folder):
        self._authority = certificates.new_authority(folder)

    def issue(self, name):
        # No common name: etcd's gateway refuses one where users log in by passwords.
        pair = self._authority.issue(name, None, groups=[name], hosts=["127.0.0.1"])
        return etcdv3.TlsFiles(self._authority.ca.certificate, pair.certificate, pair.key)


@pytest.fixture(scope="session")
def new_authority(tmp_path_factory):
    return lambda name: Authority(tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def secure_etcd(tmp_path_factory, new_authority):
    """An etcd that asks for certificates and passwords; user ``job`` may use ``/job/`` alone."""
    authority = new_authority("authority")
    files = authority.issue("server")
    flags = [
        f"--cert-file={files.cert}",
        f"--key-file={files.key}",
        f"--trusted-ca-file={files.ca}",
        "--client-cert-auth",
    ]
    etcd = Etcd(tmp_path_factory.mktemp("secure"), flags=flags, tls=authority.issue("member"))
    etcd.start()
    etcd.ask_for_passwords("/job/")
    yield etcd
    etcd.kill()
