"""A user's own etcd3 client, beside a protobuf that is newer than it."""

import subprocess
import sys
import threading

import pytest
import stores

from rdzv_client import etcd3_adapter, etcdv3
from rdzv_client.etcdv3 import messages


@pytest.fixture
def theirs(etcd):
    with stores.connect_etcd3(etcd.port) as client:
        yield client


@pytest.fixture
def adapted(theirs):
    return etcd3_adapter.adapt(theirs)


def run(program):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_etcd3_can_be_imported_once_it_was_through_here():
    assert "Descriptors cannot be created directly" in run("import etcd3").stderr
    done = run("from rdzv_client import etcd3_adapter as a; a.import_etcd3(); import etcd3")
    assert done.returncode == 0, done.stderr


def test_without_etcd3_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "etcd3", raising=False)
    monkeypatch.setattr(etcd3_adapter.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="elasticjob\\[etcd3\\]"):
        etcd3_adapter.import_etcd3()


def test_nothing_of_grpc_is_imported_for_who_has_our_client():
    program = (
        "import sys; from rdzv_client import etcd3_adapter, etcdv3\n"
        "client = etcdv3.Client(['http://127.0.0.1:1'])\n"
        "assert etcd3_adapter.adapt(client) is client\n"
        "assert not {'grpc', 'google.protobuf', 'etcd3'} & set(sys.modules)"
    )
    done = run(program)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", [None, object(), "http://127.0.0.1:2379"])
def test_what_is_no_client_is_refused_with_what_is_allowed(what):
    with pytest.raises(TypeError, match=r"expected an .*Client or a client of etcd3, not "):
        etcd3_adapter.adapt(what)


def test_both_see_the_same_keys_and_the_owner_closes(theirs, adapted):
    adapted.put("/key", b"value")
    assert theirs.get("/key")[0] == b"value"
    adapted.close()
    assert adapted.get("/key").value == b"value"


def test_a_server_that_takes_its_time_to_greet_is_waited_for(adapted, etcd):
    etcd.freeze()
    threading.Timer(0.5, etcd.thaw).start()
    adapted.put("/key", b"value")
    assert adapted.get("/key").value == b"value"


def test_a_watch_is_resumed_without_a_gap_when_the_server_was_away(adapted, etcd, connect, follow):
    seen = follow(adapted, messages.prefix("/")).until(lambda seen: seen.created())
    adapted.put("/before", b"1")
    seen.until(lambda seen: len(seen.events) == 1)
    etcd.restart()
    connect(etcd.url).put("/after", b"2")
    seen.until(lambda seen: len(seen.events) == 2)
    assert [key for _, key, _ in seen.events] == ["/before", "/after"]


def test_a_watch_on_a_server_that_lost_its_data_says_so(adapted, etcd, follow):
    adapted.put("/key", b"1")
    seen = follow(adapted, messages.prefix("/")).until(lambda seen: seen.created())
    adapted.put("/key", b"2")
    seen.until(lambda seen: len(seen.events) == 1)
    etcd.empty(token="second")
    etcd.start()
    assert isinstance(seen.until_ended(), etcdv3.Resync)


def test_a_frozen_server_ends_a_request_in_time_and_a_watch_notices_it(etcd, follow):
    etcd3 = etcd3_adapter.import_etcd3()
    with etcd3.client(
        "127.0.0.1", etcd.port, timeout=0.5, grpc_options=etcd3_adapter.GRPC_OPTIONS
    ) as theirs:
        adapted = etcd3_adapter.adapt(theirs)
        lost = threading.Event()
        seen = follow(
            adapted,
            messages.prefix("/"),
            heartbeat_s=0.3,
            on_contact=lambda contact: contact.connected or lost.set(),
        )
        seen.until(lambda seen: seen.created())
        etcd.freeze()
        with pytest.raises(etcdv3.RequestTimedOut, match=f"127.0.0.1:{etcd.port}") as raised:
            adapted.put("/key", b"")
        assert raised.value.ambiguous
        assert lost.wait(10)
        etcd.thaw()
        seen.until(lambda seen: seen.created() == 2)


def test_a_dead_server_is_named_and_a_write_that_never_left_is_not_in_doubt(adapted, etcd):
    adapted.put("/key", b"")
    etcd.kill()
    with pytest.raises(etcdv3.ConnectionFailed):
        adapted.get("/key")
    with pytest.raises(etcdv3.ConnectionFailed, match=f"127.0.0.1:{etcd.port}") as raised:
        adapted.put("/key", b"")
    assert not raised.value.ambiguous


def test_a_closed_client_is_an_error_of_connection(etcd):
    theirs = stores.connect_etcd3(etcd.port)
    adapted = etcd3_adapter.adapt(theirs)
    theirs.close()
    with pytest.raises(etcdv3.ConnectionFailed):
        adapted.get("/key")
