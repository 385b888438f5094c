"""torch's rendezvous backend over a c10d store: its one value, and how it is made."""

import datetime as dt
import socket
import tempfile
from base64 import b64encode
from unittest import mock

import pytest
from etcd_server import free_ports

pytest.importorskip("torch", reason="the training environment is not installed")

from torch.distributed import FileStore, PrefixStore, TCPStore

from rdzv_client import c10d_rendezvous_backend, options, wire
from rdzv_client.api import (
    RendezvousConnectionError,
    RendezvousError,
    RendezvousParameters,
    RendezvousStateError,
)
from rdzv_client.c10d_rendezvous_backend import C10dRendezvousBackend, create_backend

KEY = "torch.rendezvous.run"


@pytest.fixture
def tcp():
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


@pytest.fixture(params=["tcp", "file"])
def store(request, tmp_path):
    if request.param == "tcp":
        return request.getfixturevalue("tcp")
    return FileStore(str(tmp_path / "store"))


@pytest.fixture
def backend(store):
    return C10dRendezvousBackend(store, "run")


# --- the one value ---


def test_there_is_no_state_at_first(backend):
    assert backend.get_state() is None


def test_what_was_set_is_there_under_torchs_key(backend, store):
    state, token, written = backend.set_state(b"x")
    assert (state, written) == (b"x", True)
    assert backend.get_state() == (b"x", token)
    assert store.get(KEY) == b64encode(b"x")


def test_a_second_backend_finds_the_state_of_the_first(backend, store):
    backend.set_state(b"x")
    assert C10dRendezvousBackend(store, "run").get_state()[0] == b"x"


def test_who_knows_the_state_may_change_it(backend):
    _, token, _ = backend.set_state(b"x")
    assert backend.set_state(b"y", token)[::2] == (b"y", True)
    assert backend.get_state()[0] == b"y"


def test_who_knows_an_older_state_may_not(backend):
    _, old, _ = backend.set_state(b"x")
    _, current, _ = backend.set_state(b"y", old)
    assert backend.set_state(b"z", old) == (b"y", current, False)


def test_without_a_token_only_a_first_state_is_set(backend):
    _, token, _ = backend.set_state(b"x")
    assert backend.set_state(b"y") == (b"x", token, False)


def test_a_token_of_another_kind_fits_nothing(backend):
    assert backend.set_state(b"x", token=5) is None
    _, token, _ = backend.set_state(b"x")
    assert backend.set_state(b"y", token="5") == (b"x", token, False)


@pytest.mark.parametrize("value", ["not base64", "abc", "\u00e4", "a" * 5])
def test_what_is_no_state_is_an_error_of_state(backend, store, value):
    store.set(KEY, value)
    with pytest.raises(RendezvousStateError, match=r"^The state object is corrupt"):
        backend.get_state()


@pytest.mark.parametrize("fault", [ValueError, RuntimeError, TimeoutError])
def test_a_store_that_fails_is_an_error_of_connection(backend, fault):
    backend._store = mock.Mock(**{"get.side_effect": fault, "compare_set.side_effect": fault})
    with pytest.raises(RendezvousConnectionError, match="The connection to the C10d store"):
        backend.get_state()
    with pytest.raises(RendezvousConnectionError, match="The connection to the C10d store"):
        backend.set_state(b"x")


def test_a_run_has_an_id(store):
    with pytest.raises(ValueError, match=r"^The run id must be a non-empty string\.$"):
        C10dRendezvousBackend(store, "")


# --- more over a TCPStore ---


def test_a_tcp_store_offers_the_protocol_too(tcp):
    backend = C10dRendezvousBackend(tcp, "run")
    assert backend.keys == wire.Keys("run")
    record = wire.Member("a", "a", None, "a", "node", "127.0.0.1", 1, 1)
    member = backend.open_member(record, options.parse({}))
    assert member.read_round() is None
    member.stop()


def test_other_stores_do_not(tcp, tmp_path):
    for other in (FileStore(str(tmp_path / "store")), PrefixStore("/x", tcp)):
        assert not hasattr(C10dRendezvousBackend(other, "run"), "open_member")


# --- from parameters ---


def parameters(endpoint, backend="c10d", **config):
    return RendezvousParameters(backend, endpoint, "run", 1, 1, **config)


@pytest.fixture
def endpoint():
    return f"localhost:{free_ports(1)[0]}"


def test_the_endpoints_machine_hosts_the_store(endpoint):
    backend, store = create_backend(parameters(endpoint, read_timeout="10"))
    assert isinstance(store, TCPStore)
    assert (f"{store.host}:{store.port}", store.timeout) == (endpoint, dt.timedelta(seconds=10))
    backend.set_state(b"x")
    assert store.get(KEY) == b64encode(b"x")


def test_the_next_process_of_that_machine_connects_to_it(endpoint):
    first, _ = create_backend(parameters(endpoint))
    second, _ = create_backend(parameters(endpoint))
    first.set_state(b"x")
    assert second.get_state()[0] == b"x"


@pytest.mark.parametrize("is_host", ["true", "1", True])
def test_a_process_may_be_told_to_host(endpoint, is_host):
    with mock.patch.object(c10d_rendezvous_backend, "_matches_machine_hostname") as asked:
        create_backend(parameters(endpoint, is_host=is_host, store_type=" tCp "))
    asked.assert_not_called()


def test_a_process_that_is_told_not_to_host_fails_when_nobody_does(endpoint):
    with pytest.raises(RendezvousConnectionError, match="The connection to the C10d store"):
        create_backend(parameters(endpoint, is_host="false", read_timeout="1"))


def test_a_server_that_is_no_store_is_not_waited_for_longer_than_it_may_take_to_answer():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RendezvousConnectionError) as failed:
            create_backend(parameters(endpoint, is_host="false", read_timeout="1"))
    assert "did not answer within" in str(failed.value.__cause__)


def test_the_port_is_29400_by_default():
    opening = mock.patch.object(c10d_rendezvous_backend, "TCPStore", side_effect=ValueError)
    with opening as opened, pytest.raises(RendezvousConnectionError):
        create_backend(parameters("localhost", is_host="true"))
    assert opened.call_args.args == ("localhost", 29400)


def test_with_a_file_the_endpoint_is_its_path(tmp_path):
    path = str(tmp_path / "file")
    backend, store = create_backend(parameters(path, store_type="fIlE"))
    assert (type(store), store.path) == (FileStore, path)
    assert backend.set_state(b"x")[2]


def test_without_a_path_there_is_a_temporary_file():
    _, store = create_backend(parameters("", store_type="file"))
    assert store.path.startswith(tempfile.gettempdir())


def test_when_there_can_be_no_temporary_file_it_says_so():
    refused = pytest.raises(RendezvousError, match=r"^The file creation for C10d store has failed")
    with mock.patch("tempfile.mkstemp", side_effect=OSError("full")), refused:
        create_backend(parameters("", store_type="file"))


def test_a_path_where_there_can_be_no_file_is_an_error_of_connection():
    with pytest.raises(RendezvousConnectionError, match="The connection to the C10d store"):
        create_backend(parameters("/no/such/folder/file", store_type="file"))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"store_type": "etcd"}, "^Invalid store type given"),
        ({"read_timeout": "0"}, "^The read timeout must be a positive integer"),
        ({"read_timeout": "-10"}, "^The read timeout must be a positive integer"),
        ({"read_timeout": "x"}, "'read_timeout' does not represent a valid integer"),
        ({"is_host": "maybe"}, "'is_host' does not represent a valid boolean"),
    ],
)
def test_an_option_that_is_not_allowed_is_named(endpoint, config, words):
    with pytest.raises(ValueError, match=words):
        create_backend(parameters(endpoint, **config))


def test_an_older_torchs_option_does_no_harm(endpoint):
    create_backend(parameters(endpoint, use_libuv="false"))


@pytest.mark.parametrize(
    ("asked", "name"),
    [("c10d", "c10d"), ("c10d-v2", "c10d-v2"), ("k8s", "k8s"), ("somebody's own", "c10d")],
)
def test_its_name_is_the_one_it_was_asked_for_if_it_is_ours(endpoint, asked, name):
    assert create_backend(parameters(endpoint, asked))[0].name == name


def test_hosting_and_failing_are_recorded(endpoint):
    with mock.patch.object(c10d_rendezvous_backend, "construct_and_record_rdzv_event") as recorded:
        create_backend(parameters(endpoint))
        with pytest.raises(ValueError, match="Invalid store type"):
            create_backend(parameters(endpoint, store_type="x"))
    states = [call.kwargs["node_state"].name for call in recorded.call_args_list]
    assert states == ["INIT", "FAILED"]


def test_the_handler_that_is_made_of_it_has_the_name_that_was_asked_for(endpoint):
    from rdzv_client.registry import get_rendezvous_handler

    handler = get_rendezvous_handler(parameters(endpoint, "c10d-v2"))
    info = handler.next_rendezvous()
    assert (handler.get_backend(), info.rank, info.world_size) == ("c10d-v2", 0, 1)
    assert handler.shutdown()
