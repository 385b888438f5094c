"""torch's rendezvous backend on a real etcd: compare-and-set, and rounds by the protocol."""

import itertools
from base64 import b64encode
from datetime import timedelta

import pytest
from rounds import enter

from rdzv_client import api, etcd3_adapter, wire

pytest.importorskip("torch", reason="the training environment is not installed")

_numbers = itertools.count(1)


@pytest.fixture
def client(shared_etcd, connect_either):
    return connect_either(shared_etcd)


@pytest.fixture
def etcd3_or_ours(client):
    """What stands in etcd, seen through whichever client."""
    return etcd3_adapter.adapt(client)


@pytest.fixture
def run_id():
    return f"run-{next(_numbers)}"


@pytest.fixture
def backend(client, run_id):
    from rdzv_client.etcd_rendezvous_backend import EtcdRendezvousBackend

    return EtcdRendezvousBackend(client, run_id, "/prefix")


def parameters(etcd, run_id, **config):
    chosen = {"backend": "etcd-v3", "endpoint": f"127.0.0.1:{etcd.port}", **config}
    return api.RendezvousParameters(run_id=run_id, min_nodes=2, max_nodes=2, **chosen)


def create(params):
    from rdzv_client.etcd_rendezvous_backend import create_backend

    return create_backend(params)


# --- one value by compare-and-set ---


def test_there_is_no_state_before_one_is_set(backend):
    assert backend.get_state() is None


def test_a_state_that_was_set_is_there_with_its_token(backend):
    state, token, has_set = backend.set_state(b"first")
    assert (state, has_set) == (b"first", True)
    assert backend.get_state() == (b"first", token)


@pytest.mark.parametrize("state", [b"", b"\x00\xff", b"x" * 100_000])
def test_a_state_may_be_any_bytes(backend, state):
    backend.set_state(state)
    assert backend.get_state()[0] == state


def test_a_state_is_replaced_by_who_has_its_token(backend):
    _, first, _ = backend.set_state(b"first")
    state, second, has_set = backend.set_state(b"second", first)
    assert (state, has_set) == (b"second", True)
    assert second != first
    assert backend.get_state() == (b"second", second)


@pytest.mark.parametrize("token", [None, "invalid", object(), 0, 1, "17"])
def test_any_other_token_writes_nothing_and_returns_what_is_there(backend, token):
    _, current, _ = backend.set_state(b"first")
    assert backend.set_state(b"second", token) == (b"first", current, False)
    assert backend.get_state() == (b"first", current)


def test_an_old_token_writes_nothing(backend):
    _, old, _ = backend.set_state(b"first")
    _, current, _ = backend.set_state(b"second", old)
    assert backend.set_state(b"third", old) == (b"second", current, False)


@pytest.mark.parametrize("token", ["invalid", 17])
def test_a_token_of_a_state_that_is_gone_creates_none(backend, token):
    assert backend.set_state(b"first", token) is None
    assert backend.get_state() is None


def test_a_state_that_cannot_be_read_is_an_error_of_state(backend, etcd3_or_ours, run_id):
    etcd3_or_ours.put(f"/prefix/{run_id}", b"no base64")
    for call in (backend.get_state, lambda: backend.set_state(b"", None)):
        with pytest.raises(api.RendezvousStateError, match=r"^The state object is corrupt. See"):
            call()


def test_a_server_that_is_gone_is_an_error_of_connection(etcd, connect_either):
    from rdzv_client.etcd_rendezvous_backend import EtcdRendezvousBackend

    backend = EtcdRendezvousBackend(connect_either(etcd), "run")
    etcd.kill()
    for call in (backend.get_state, lambda: backend.set_state(b"")):
        with pytest.raises(api.RendezvousConnectionError, match=r"^The connection to etcd has fai"):
            call()


def test_a_state_lives_as_long_as_its_time_after_the_last_write(client, etcd3_or_ours, run_id):
    from rdzv_client.etcd_rendezvous_backend import EtcdRendezvousBackend

    backend = EtcdRendezvousBackend(client, run_id, ttl=1000)
    backend.set_state(b"first")
    lease = etcd3_or_ours.get(run_id).lease
    assert etcd3_or_ours.keep_alive(lease) == 1000
    etcd3_or_ours.revoke(lease)
    assert backend.get_state() is None
    assert backend.set_state(b"second")[2]
    assert etcd3_or_ours.get(run_id).lease not in (0, lease)


@pytest.mark.parametrize("run_id", ["", None])
def test_a_run_without_an_id_is_refused(connect, shared_etcd, run_id):
    from rdzv_client.etcd_rendezvous_backend import EtcdRendezvousBackend

    with pytest.raises(ValueError, match=r"^The run id must be a non-empty string.$"):
        EtcdRendezvousBackend(connect(shared_etcd.url), run_id)


# --- from parameters ---


def test_backend_and_store_use_the_keys_that_torchs_do(shared_etcd, run_id, connect):
    backend, store = create(parameters(shared_etcd, run_id, protocol=" hTTp ", read_timeout="10"))
    backend.set_state(b"state")
    store.set(f"{run_id}/key", "value")
    client = connect(shared_etcd.url)
    assert client.get(f"/torch/elastic/rendezvous/{run_id}").value == b64encode(b"state")
    assert client.get(f"/torch/elastic/store/{run_id}/key").value == b"value"
    assert store.timeout == timedelta(seconds=300)
    assert store.client.read_timeout == 10


@pytest.mark.parametrize(
    ("asked", "name"), [("etcd-v3", "etcd-v3"), ("etcd-v2", "etcd-v2"), ("other", "etcd-v2")]
)
def test_its_name_is_the_one_that_was_asked_for(shared_etcd, run_id, asked, name):
    assert create(parameters(shared_etcd, run_id, backend=asked))[0].name == name


def test_of_several_members_one_that_answers_is_enough(shared_etcd, run_id, dead_url):
    dead = dead_url.removeprefix("http://")
    for separator in ";,":
        endpoint = f"{dead}{separator}127.0.0.1:{shared_etcd.port}"
        backend, _ = create(parameters(shared_etcd, run_id, endpoint=endpoint))
        assert backend.get_state() is None


def test_an_etcd_that_cannot_be_reached_is_an_error_of_connection(shared_etcd, run_id, dead_url):
    params = parameters(shared_etcd, run_id, endpoint=dead_url, read_timeout=1)
    with pytest.raises(api.RendezvousConnectionError, match=r"^The connection to etcd has failed"):
        create(params)


@pytest.mark.parametrize("protocol", ["", "  ", "ftp"])
def test_another_protocol_is_refused(shared_etcd, run_id, protocol):
    with pytest.raises(ValueError, match=r"^The protocol must be HTTP or HTTPS.$"):
        create(parameters(shared_etcd, run_id, protocol=protocol))


@pytest.mark.parametrize("read_timeout", ["0", "-10"])
def test_a_read_timeout_that_is_not_positive_is_refused(shared_etcd, run_id, read_timeout):
    with pytest.raises(ValueError, match=r"^The read timeout must be a positive integer.$"):
        create(parameters(shared_etcd, run_id, read_timeout=read_timeout))


# --- the protocol ---


@pytest.mark.parametrize("name", ["etcd-v3", "etcd-v2"])
def test_handlers_made_of_it_form_a_round_natively(shared_etcd, run_id, connect, name):
    handlers = [handler_of(parameters(shared_etcd, run_id, backend=name)) for _ in "ab"]
    infos = enter(*handlers)
    assert sorted(info.rank for info in infos) == [0, 1]
    assert {handler.get_backend() for handler in handlers} == {name}
    client = connect(shared_etcd.url)
    keys = wire.Keys(run_id, "/torch/elastic/rendezvous")
    assert wire.decode(wire.Round, keys.round, client.get(keys.round).value).world_size == 2
    assert client.get(f"/torch/elastic/rendezvous/{run_id}") is None
    for handler in handlers:
        assert handler.shutdown()


def handler_of(params):
    from rdzv_client import plugins

    return plugins.create_etcd_handler(params)


def test_a_handler_over_a_users_own_etcd3_client_forms_a_round(client, run_id):
    from rdzv_client.dynamic_rendezvous import DynamicRendezvousHandler
    from rdzv_client.etcd_rendezvous_backend import EtcdRendezvousBackend

    handlers = [
        DynamicRendezvousHandler.from_backend(
            run_id, None, EtcdRendezvousBackend(client, run_id), 2, 2, local_addr="127.0.0.1"
        )
        for _ in "ab"
    ]
    assert sorted(info.rank for info in enter(*handlers)) == [0, 1]
    for handler in handlers:
        assert handler.shutdown()
