"""Rounds and stores on an etcd that is reached by TLS, asks for certificates, passwords, or all."""

import contextlib
import itertools
from dataclasses import dataclass, field

import etcd_server
import pytest
from etcd_server import Etcd
from rounds import enter, told

from rdzv_client import api, etcd3_adapter

pytest.importorskip("torch", reason="the training environment is not installed")

PREFIX = "/torch/elastic/"
_numbers = itertools.count(1)


@dataclass
class Secured:
    """An etcd, and what opens it: options of ours, of torch's oldest handler, and of etcd3."""

    etcd: Etcd
    options: dict = field(default_factory=dict)
    old_options: dict = field(default_factory=dict)
    of_etcd3: dict = field(default_factory=dict)

    def parameters(self, dead_url, **more):
        """The first of its members is down."""
        endpoint = f"{dead_url.partition('://')[2]};127.0.0.1:{self.etcd.port}"
        run_id = f"run-{next(_numbers)}"
        return [api.RendezvousParameters("etcd-v3", endpoint, run_id, 2, 2, **more) for _ in "ab"]


@pytest.fixture(scope="module", params=["tls", "mutual tls", "password", "mutual tls and password"])
def secured(request, tmp_path_factory, new_authority):
    authority = new_authority("authority")
    server, member = authority.issue("server"), authority.issue("member")
    asks, flags, found = request.param, [], Secured(None)
    if "tls" in asks:
        flags += [f"--cert-file={server.cert}", f"--key-file={server.key}"]
        found.options |= {"protocol": "https", "ca_cert": member.ca}
        found.old_options |= {"protocol": "https", "cacert": member.ca}
        found.of_etcd3 |= {"ca_cert": member.ca}
    if "mutual" in asks:
        flags += [f"--trusted-ca-file={server.ca}", "--client-cert-auth"]
        found.options |= {"ssl_cert": member.cert, "ssl_cert_key": member.key}
        found.old_options |= {"cert": member.cert, "key": member.key}
        found.of_etcd3 |= {"cert_cert": member.cert, "cert_key": member.key}
    if "password" in asks:
        if etcd_server.version() < (3, 5):
            pytest.skip("etcd 3.4 passes no user's token on to watches")
        user = {"user": "job", "password": "job-secret"}
        found.options |= user
        found.old_options |= user
        found.of_etcd3 |= user
    tls = member if "tls" in asks else None
    found.etcd = Etcd(tmp_path_factory.mktemp("secured"), flags=flags, tls=tls).start()
    if "password" in asks:
        found.etcd.ask_for_passwords(PREFIX)
    yield found
    found.etcd.kill()


def test_a_round_forms_and_a_loss_is_told(secured, dead_url):
    from rdzv_client import plugins

    params = secured.parameters(dead_url, **secured.options)
    a, b = map(plugins.create_etcd_handler, params)
    assert sorted(info.rank for info in enter(a, b)) == [0, 1]
    b._leave("signal", "it was told to stop")
    assert told(a)
    assert a.shutdown()


def test_a_store_works(secured, dead_url):
    from rdzv_client.etcd_rendezvous_backend import create_backend

    (backend, ours), (_, theirs) = map(
        create_backend, secured.parameters(dead_url, **secured.options)
    )
    assert backend.set_state(b"state")[2]
    ours.set("key", "value")
    assert theirs.get("key") == b"value"
    assert ours.add("sum", 2) + theirs.add("sum", 1) == 5


def test_torchs_oldest_handler_forms_a_round(secured, dead_url):
    from rdzv_client.etcd_rendezvous import create_rdzv_handler

    config = {**secured.old_options, "etcd_prefix": f"{PREFIX}old", "local_addr": "127.0.0.1"}
    handlers = list(map(create_rdzv_handler, secured.parameters(dead_url, **config)))
    first, second = enter(*handlers)
    assert first.bootstrap_store_info == second.bootstrap_store_info
    assert all(handler.shutdown() for handler in handlers)


def test_a_users_own_etcd3_client_forms_a_round(secured):
    from rdzv_client.dynamic_rendezvous import DynamicRendezvousHandler
    from rdzv_client.etcd_rendezvous_backend import EtcdRendezvousBackend

    options = {"grpc_options": etcd3_adapter.GRPC_OPTIONS, **secured.of_etcd3}
    client = etcd3_adapter.import_etcd3().client("127.0.0.1", secured.etcd.port, **options)
    with contextlib.closing(client):
        backend = EtcdRendezvousBackend(client, "run", f"{PREFIX}etcd3")
        a, b = (
            DynamicRendezvousHandler.from_backend("run", None, backend, 2, 2, "127.0.0.1")
            for _ in "ab"
        )
        assert sorted(info.rank for info in enter(a, b)) == [0, 1]
        b._leave("signal", "it was told to stop")
        assert told(a)
        assert a.shutdown()
