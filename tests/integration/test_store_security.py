"""A job's store lets in who has this job's certificates, and nobody else."""

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import aiohttp
import builders
import ipv6
import pytest
from etcd_server import Etcd, free_ports, program
from job_secrets import HOST, NOW, OURS, access, files
from rounds import Run, enter
from stores import EtcdRuns

from elasticjob_operator import api, store_members, stores
from elasticjob_operator.authority import Authority
from elasticjob_operator.provisioning import credentials
from elasticjob_operator.rounds import Rounds
from elasticjob_operator.stores import StoreError, gateway
from elasticjob_operator.stores.access import Access
from rdzv_client import etcd_connection, etcdv3
from rdzv_client.etcdv3 import messages, requests

UID, OTHER_UID = builders.JOB_UID, "another-jobs-uid"
LIMIT_S = 60.0


def flags(own, given):
    """Return an etcd's flags as a pod has them, with its Secret in another folder."""
    return [flag.replace(credentials.STORE_FOLDER, str(own.ca.parent)) for flag in given]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An etcd with the flags and certificates of a job's own store."""
    folder = tmp_path_factory.mktemp("store")
    own = files(folder / "own", OURS.store(UID, NOW, (HOST, "127.0.0.1")))
    given = [*flags(own, credentials.client_flags()), "--log-level=warn"]
    etcd = Etcd(folder, flags=given, tls=own).start()
    yield etcd
    etcd.kill()


@pytest.fixture
async def session():
    async with gateway.session() as session:
        yield session


READ = requests.range_request(messages.get("key"))


async def ask(session, etcd, shown):
    return await gateway.Gateway(session, [etcd.url], shown).call(READ)


async def test_the_operator_is_let_in_with_the_jobs_certificate(session, store):
    assert (await ask(session, store, access(OURS.operator(UID, NOW)))).kvs == ()


@pytest.mark.parametrize(
    ("stranger", "alert"),
    [
        (OURS.operator(OTHER_UID, NOW), "unknown ca"),
        (OURS.store(OTHER_UID, NOW, ("127.0.0.1",)), "unknown ca"),
        (Authority(b"t" * 32).operator(UID, NOW), "unknown ca"),
        (OURS.operator(UID, NOW - timedelta(days=4000)), "certificate expired"),
    ],
    ids=["of another job", "of another store", "of another operator", "that has expired"],
)
async def test_a_certificate_is_refused(session, store, stranger, alert):
    trusted = OURS.operator(UID, NOW).authority.decode()
    shown = Access(trusted, stranger.certificate.decode(), stranger.key.decode(), HOST)
    # The connection may be closed before the alert is read; etcd 3.4 has one for all.
    with pytest.raises(StoreError, match=f"alert {alert}|alert bad certificate|reset by peer"):
        await ask(session, store, shown)


async def test_nobody_is_let_in_without_a_certificate(session, store):
    shown = Access(authority=OURS.operator(UID, NOW).authority.decode(), host=HOST)
    with pytest.raises(
        StoreError, match=r"alert (certificate required|bad certificate)|reset by peer"
    ):
        await ask(session, store, shown)


async def test_an_ordinary_request_is_no_reason_to_warn(session, store):
    await ask(session, store, access(OURS.operator(UID, NOW)))
    assert "common name" not in (store.folder / "log").read_text()


async def test_a_store_that_is_not_the_jobs_is_not_spoken_to(session, store):
    with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
        await ask(session, store, access(OURS.operator(OTHER_UID, NOW)))
    with pytest.raises(StoreError, match=r"[Hh]ostname mismatch"):
        await ask(session, store, access(OURS.operator(UID, NOW), host="other-rdzv.ml.svc"))


@ipv6.needed
async def test_at_an_ipv6_address_it_is_known_by_the_same_name(session, tmp_path):
    own = files(tmp_path / "own", OURS.store(UID, NOW, (HOST, *credentials.LOOPBACK)))
    given = flags(own, credentials.client_flags())
    etcd = Etcd(tmp_path, flags=given, tls=own, host=f"[{ipv6.HERE}]", listens="0.0.0.0").start()
    try:
        assert (await ask(session, etcd, access(OURS.operator(UID, NOW)))).kvs == ()
        with pytest.raises(StoreError, match=r"[Hh]ostname mismatch"):
            await ask(session, etcd, access(OURS.operator(UID, NOW), host="other-rdzv.ml.svc"))
        shown = files(tmp_path / "worker", OURS.worker(UID, NOW))
        with etcdv3.Client([etcd.url], tls=shown) as client:
            assert client.get("key") is None
    finally:
        etcd.kill()


def test_a_worker_is_let_in_with_its_own(store, tmp_path):
    shown = files(tmp_path / "worker", OURS.worker(UID, NOW))
    with etcdv3.Client([store.url], tls=shown) as client:
        client.put("key", b"value")
        assert client.get("key").value == b"value"
        client.delete("key")


def test_a_workers_certificate_serves_nobody(tmp_path):
    """A worker that was broken into cannot be the store to its peers."""
    own = files(tmp_path / "worker", OURS.worker(UID, NOW))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.cert, own.key)
    with socket.create_server(("127.0.0.1", 0)) as fake, ThreadPoolExecutor(1) as pool:
        greeted = pool.submit(lambda: context.wrap_socket(fake.accept()[0], server_side=True))
        url = f"https://127.0.0.1:{fake.getsockname()[1]}"
        words = "unsuitable certificate purpose"
        with (
            etcdv3.Client([url], tls=own) as client,
            pytest.raises(etcdv3.ConnectionFailed, match=words),
        ):
            client.get("key")
        assert isinstance(greeted.exception(), OSError)


# --- a round over it -----------------------------------------------------------------------------


class SecureRuns(EtcdRuns):
    """Runs in a job's own store, whose members have what is mounted into workers."""

    def __init__(self, server, folder):
        super().__init__(server)
        self._environment = {"RDZV_CREDENTIALS": str(folder)}
        self._client = self._connect()

    def _connect(self):
        endpoint = f"etcds://127.0.0.1:{self.server.port}"
        return etcd_connection.connect(endpoint, {}, self._environment, 5.0)


async def test_workers_form_a_round_over_it_and_the_operator_hears_of_it(store, tmp_path):
    files(tmp_path / "worker", OURS.worker(UID, NOW))
    heard, rounds = asyncio.Event(), Rounds()
    with contextlib.ExitStack() as stack:
        runs = stack.enter_context(contextlib.closing(SecureRuns(store, tmp_path / "worker")))
        run = Run(runs, stack)
        where = stores.Etcd((store.url,), access(OURS.operator(UID, NOW)))
        told = api.RendezvousStatus(run_id=run.keys.run_id)
        link = rounds.follow(UID, where, told, heard.set)
        run.settings(expected=2)
        members = [run.member(name, slot) for slot, name in enumerate(("a", "b"))]
        formed = await asyncio.to_thread(enter, *members)
        assert sorted(info.rank for info in formed) == [0, 1]
        async with asyncio.timeout(20):
            while not link.view.formed:
                heard.clear()
                await heard.wait()
        assert [rank.name for rank in link.view.formed[-1].ranks] == ["a", "b"]
        await rounds.close()


# --- among three members -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three members with the flags and certificates of a job's own store; gives their ports."""
    folder = tmp_path_factory.mktemp("three")
    own = files(folder / "own", OURS.store(UID, NOW, (HOST, *credentials.LOOPBACK)))
    guarded = flags(own, [*credentials.client_flags(), *credentials.peer_flags()])
    ports = free_ports(6)
    peers = [f"https://127.0.0.1:{port}" for port in ports[3:]]
    cluster = ",".join(f"m{number}={peer}" for number, peer in enumerate(peers))
    with contextlib.ExitStack() as stack:
        for number, peer in enumerate(peers):
            client = f"https://127.0.0.1:{ports[number]}"
            command = [
                *(program(), f"--name=m{number}", f"--data-dir={folder / str(number)}"),
                *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
                *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
                *(f"--initial-cluster={cluster}", "--unsafe-no-fsync", "--log-level=error"),
            ]
            process = stack.enter_context(subprocess.Popen([*command, *guarded]))
            stack.callback(process.kill)
        wait_until_bound(ports)
        yield ports[:3], ports[3:]


def wait_until_bound(ports):
    deadline = time.monotonic() + LIMIT_S
    for port in ports:
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            assert time.monotonic() < deadline, f"nobody listens at port {port}"
            time.sleep(0.05)  # a process that is starting offers nothing to wait on


async def test_three_members_find_each_other(session, three):
    urls = [f"https://127.0.0.1:{port}" for port in three[0]]
    link = gateway.Gateway(session, urls, access(OURS.operator(UID, NOW)))
    async with asyncio.timeout(LIMIT_S):
        # Processes that start offer nothing to wait on.
        while await started(link) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def started(link):
    with contextlib.suppress(StoreError):
        return sum(member.started for member in await link.call(store_members.listing()))
    return 0


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (OURS.store(UID, NOW, ("127.0.0.1",)), ""),
        (OURS.store(UID, NOW, ("digits-rdzv-1.invalid", "192.0.2.1")), ""),
        (OURS.worker(UID, NOW), "alert bad certificate|reset by peer"),
        (OURS.operator(UID, NOW), "alert bad certificate|reset by peer"),
        (OURS.store(OTHER_UID, NOW, ("127.0.0.1",)), "alert unknown ca|reset by peer"),
    ],
    ids=[
        "another member",
        "a member in a new pod",
        "a worker",
        "the operator",
        "a member of another job",
    ],
)
async def test_a_member_lets_in_its_peers_alone(session, three, shown, words):
    trusted = OURS.store(UID, NOW, (HOST,)).authority.decode()
    key = (shown.certificate.decode(), shown.key.decode())
    context = Access(trusted, *key).context()
    url = f"https://127.0.0.1:{three[1][0]}/version"
    expected = (
        pytest.raises(aiohttp.ClientError, match=words) if words else contextlib.nullcontext()
    )
    with expected:
        async with session.get(url, ssl=context, server_hostname=HOST) as answer:
            assert answer.status == 200


# --- an etcd of the user's own, with users -------------------------------------------------------


@pytest.fixture
def guarded(etcd):
    """An etcd that asks for a password."""
    etcd.call("/v3/auth/user/add", {"name": "root", "password": "r00t-secret"})
    etcd.call("/v3/auth/user/grant", {"user": "root", "role": "root"})
    etcd.call("/v3/auth/enable", {})
    return etcd


async def test_a_user_is_let_in_with_its_password(session, guarded):
    shown = Access(user="root", password="r00t-secret")
    assert (await ask(session, guarded, shown)).kvs == ()


async def test_a_token_that_became_invalid_is_renewed_unnoticed(session, guarded):
    same = {"name": "root", "password": "r00t-secret"}
    link = gateway.Gateway(session, [guarded.url], Access(user="root", password="r00t-secret"))
    await link.call(READ)
    token = guarded.call("/v3/auth/authenticate", same)["token"]
    guarded.call("/v3/auth/user/changepw", same, token)
    await link.call(READ)


@pytest.mark.parametrize("shown", [Access(), Access(user="root", password="wr0ng-secret")], ids=str)
async def test_a_wrong_password_is_told_and_not_shown(session, guarded, shown):
    with pytest.raises(StoreError) as caught:
        await ask(session, guarded, shown)
    assert "auth" in str(caught.value) or "user name is empty" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_password_is_of_no_harm_where_none_is_asked_for(session, etcd):
    await ask(session, etcd, Access(user="root", password="r00t-secret"))


# --- what is no certificate ----------------------------------------------------------------------

WORKER = OURS.worker(UID, NOW)
OTHER = OURS.worker(OTHER_UID, NOW)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (Access(authority="garbage"), "the authority's certificate cannot be used"),
        (
            Access(certificate="garbage", key=WORKER.key.decode()),
            "the client certificate and its key cannot be used",
        ),
        (
            Access(certificate=WORKER.certificate.decode(), key=OTHER.key.decode()),
            "the client certificate and its key cannot be used",
        ),
    ],
    ids=["authority", "certificate", "another key"],
)
async def test_what_is_no_certificate_is_told(session, shown, words):
    with pytest.raises(StoreError, match=words) as caught:
        await gateway.Gateway(session, ["https://127.0.0.1:1"], shown).call(READ)
    assert "PRIVATE" not in str(caught.value)


def test_no_secret_is_shown_by_mistake():
    where = stores.Etcd(("https://etcd:2379",), access(WORKER, user="u", password="p4ssword"))
    assert "PRIVATE" not in repr(where)
    assert "p4ssword" not in json.dumps(repr(where))
