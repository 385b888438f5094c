"""torch's store on etcd: what TCPStore promises, and what only a real server can do."""

import contextlib
import itertools
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
import stores

from rdzv_client import etcd3_adapter

distributed = pytest.importorskip(
    "torch.distributed", reason="the training environment is not installed"
)

LIMIT_S = 20.0
SOON = timedelta(seconds=0.2)
_numbers = itertools.count(1)


@pytest.fixture
def client(shared_etcd, connect_either):
    return etcd3_adapter.adapt(connect_either(shared_etcd))


@pytest.fixture
def prefix():
    return f"/stores/{next(_numbers)}"


@pytest.fixture
def store(client, prefix):
    from rdzv_client.etcd_store import EtcdStore

    return EtcdStore(client, prefix, timedelta(seconds=LIMIT_S))


@pytest.fixture(params=["etcd", "etcd3", "tcp"])
def either(request, shared_etcd, connect, prefix):
    """An EtcdStore, and the store that it must not differ from."""
    from rdzv_client.etcd_store import EtcdStore

    if request.param == "tcp":
        store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        store.set_timeout(timedelta(seconds=1))  # for its answers; to connect may take longer
        yield store
    elif request.param == "etcd":
        yield EtcdStore(connect(shared_etcd.url), prefix, timedelta(seconds=1))
    else:
        with stores.connect_etcd3(shared_etcd.port) as client:
            yield EtcdStore(client, prefix, timedelta(seconds=1))


@contextlib.contextmanager
def later(call, *args):
    """Have something done in another thread, a little later."""
    thread = threading.Timer(0.3, call, args)
    thread.start()
    yield
    thread.join(LIMIT_S)


# --- as TCPStore ---


def test_a_key_has_the_value_that_was_set_last(either):
    either.set("key", "first")
    either.set("key", "second")
    assert either.get("key") == b"second"


def test_adding_begins_at_nothing_and_returns_the_sum(either):
    assert either.add("sum", 3) == 3
    assert either.add("sum", -1) == 2
    assert either.get("sum") == b"2"
    assert either.add("zero", 0) == 0
    assert either.check(["zero"])


@pytest.mark.parametrize(
    ("there", "expected", "returned", "after"),
    [
        (None, "", b"new", b"new"),
        (None, "old", b"old", None),
        ("old", "old", b"new", b"new"),
        ("old", "other", b"old", b"old"),
        ("old", "", b"old", b"old"),
        ("", "", b"new", b"new"),
        ("", "old", b"", b""),
    ],
)
def test_compare_set(either, there, expected, returned, after):
    if there is not None:
        either.set("key", there)
    assert either.compare_set("key", expected, "new") == returned
    assert either.check(["key"]) == (after is not None)
    if after is not None:
        assert either.get("key") == after


def test_a_deleted_key_is_gone_and_was_there_once(either):
    either.set("key", "value")
    assert either.delete_key("key") is True
    assert either.delete_key("key") is False
    assert not either.check(["key"])


def test_keys_are_counted_and_listed(either):
    before = either.num_keys()
    either.multi_set(["a", "b/c"], ["1", "2"])
    assert either.num_keys() == before + 2
    if hasattr(distributed.Store, "list_keys"):
        assert {"a", "b/c"} <= {key.lstrip("/") for key in either.list_keys()}
    assert either.multi_get(["b/c", "a", "a"]) == [b"2", b"1", b"1"]


def test_what_is_appended_stands_behind_what_was_there(either):
    either.append("key", "a")
    either.append("key", "bc")
    assert either.get("key") == b"abc"


def test_a_key_that_does_not_come_is_a_store_error(either):
    either.set("there", "1")
    for wait in (
        lambda: either.get("missing"),
        lambda: either.wait(["there", "missing"]),
        lambda: either.wait(["missing"], SOON),
        lambda: either.multi_get(["there", "missing"]),
    ):
        with pytest.raises(distributed.DistStoreError, match="missing"):
            wait()


queues = pytest.mark.skipif(
    not hasattr(distributed.Store, "queue_push"), reason="this torch's stores have no queues"
)


@queues
def test_a_queue_gives_each_value_once_in_the_order_they_came(either):
    for value in ("a", "b"):
        either.queue_push("queue", value)
    assert either.queue_len("queue") == 2
    assert [either.queue_pop("queue"), either.queue_pop("queue")] == [b"a", b"b"]
    assert either.queue_len("queue") == either.queue_len("never pushed to") == 0


@queues
def test_an_empty_queue_is_an_error_at_once_or_in_time(either):
    with pytest.raises(distributed.QueueEmptyError):
        either.queue_pop("queue", False)
    with pytest.raises(distributed.DistStoreError, match="queue"):
        either.queue_pop("queue")


def test_its_timeout_can_be_read_and_changed(either):
    assert either.timeout == timedelta(seconds=1)
    either.set_timeout(SOON)
    assert either.timeout == SOON


def test_an_empty_key_is_a_key_like_any_other(either):
    before = either.num_keys()
    either.set("", "value")
    assert either.get("") == b"value"
    assert either.check([""])
    assert either.num_keys() == before + 1
    assert either.delete_key("")


def test_a_clone_sees_the_same_keys(either):
    clone = either.clone()
    clone.set("key", "value")
    assert either.get("key") == b"value"


# --- and more ---


def test_keys_and_values_may_hold_any_bytes(store):
    store.set(b"\xff\x00/\xc3", b"\x00\xff" * 100)
    assert store.get(b"\xff\x00/\xc3") == b"\x00\xff" * 100


@pytest.mark.parametrize(("key", "value"), [(1, "v"), ("k", 1), (None, "v"), ("k", None)])
def test_what_is_no_text_and_no_bytes_is_refused_with_what_is_allowed(store, key, value):
    with pytest.raises(ValueError, match="str or bytes"):
        store.set(key, value)


def test_adding_to_what_is_no_number_is_refused_and_leaves_it(store):
    store.set("key", "text")
    with pytest.raises(ValueError, match="'key' is no number: b'text'"):
        store.add("key", 1)
    assert store.get("key") == b"text"


def test_a_prefix_need_not_end_or_begin_with_a_slash(client):
    from rdzv_client.etcd_store import EtcdStore

    with_slash, without = EtcdStore(client, "plain/"), EtcdStore(client, "plain")
    without.set("key", "value")
    assert with_slash.get("key") == b"value"
    assert client.get("plain/key").value == b"value"


def test_stores_see_nothing_of_each_other(client, prefix):
    from rdzv_client.etcd_store import EtcdStore

    short, long = EtcdStore(client, prefix), EtcdStore(client, prefix + "1")
    long.set("key", "value")
    long.queue_push("queue", "value")
    assert short.num_keys() == short.queue_len("queue") == 0
    assert long.num_keys() == 1


def test_who_waits_is_woken_by_the_last_key(store):
    with later(store.multi_set, ["a", "b"], ["1", "2"]):
        store.wait(["a", "b"])
    with later(store.set, "c", "3"):
        assert store.get("c") == b"3"
    with later(store.queue_push, "queue", "value"):
        assert store.queue_pop("queue") == b"value"


def test_many_keys_that_come_one_by_one_are_waited_for_together(store):
    keys = [str(number) for number in range(250)]
    with later(lambda: [store.set(key, key) for key in keys]):
        assert store.multi_get(keys) == [key.encode() for key in keys]


def test_many_large_values_go_there_and_back_together(store):
    keys, values = list("abcdefghij"), [bytes([number]) * 600_000 for number in range(10)]
    store.multi_set(keys, values)
    assert store.multi_get(keys) == values


def test_waiting_writes_and_asks_nothing(store, client):
    asked = []
    send, client.transport.send = client.transport.send, lambda *a: (asked.append(a), send(*a))[1]
    with pytest.raises(distributed.DistStoreError):
        store.wait(["missing"], timedelta(seconds=1))
    assert len(asked) == 1


def test_who_waits_outlasts_a_restart_of_the_server(etcd, connect, connect_either):
    from rdzv_client.etcd_store import EtcdStore

    store = EtcdStore(connect_either(etcd), "/store", timedelta(seconds=LIMIT_S))

    def restart():
        etcd.restart()
        EtcdStore(connect(etcd.url), "/store").set("key", "value")

    with later(restart):
        assert store.get("key") == b"value"


def test_a_server_that_is_gone_is_an_error_that_names_it(etcd, connect_either):
    from rdzv_client.etcd_store import EtcdStore

    store = EtcdStore(connect_either(etcd), "/store")
    etcd.kill()
    with pytest.raises(distributed.DistNetworkError, match=f"127.0.0.1:{etcd.port}"):
        store.set("key", "value")


def test_adders_at_once_lose_no_count(store):
    def add():
        for _ in range(20):
            store.add("sum", 1)
            store.append("text", "x")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert store.add("sum", 0) == 80
    assert store.get("text") == b"x" * 80


def test_takers_at_once_get_each_value_once(store):
    taken = []

    def take():
        taken.extend(store.queue_pop("queue") for _ in range(10))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(40):
        store.queue_push("queue", str(number))
    for thread in threads:
        thread.join(LIMIT_S)
    assert sorted(map(int, taken)) == list(range(40))


def test_a_prefix_store_works_on_it(store):
    inner = distributed.PrefixStore("inner", store)
    inner.set("key", "value")
    assert store.get("inner/key") == inner.get("key") == b"value"
    assert inner.add("sum", 2) == 2
    assert inner.compare_set("key", "value", "new") == b"new"
    inner.append("key", "er")
    inner.multi_set(["a"], ["1"])
    assert inner.multi_get(["a", "key"]) == [b"1", b"newer"]
    assert inner.check(["a"])
    assert inner.delete_key("a")
    assert inner.num_keys() == 2
    with pytest.raises(distributed.DistStoreError):
        inner.wait(["missing"], SOON)
    clone = inner.clone()
    assert clone.get("key") == b"newer"


def test_the_error_of_a_wait_is_also_the_one_that_torchs_etcd_store_raises(store):
    with pytest.raises(LookupError):
        store.wait(["missing"], SOON)


PROGRAM = """
import sys, torch, torch.distributed as dist
from rdzv_client import etcdv3
from rdzv_client.etcd_store import EtcdStore
url, prefix, rank = sys.argv[1:]
store = EtcdStore(etcdv3.Client([url]), prefix)
dist.init_process_group("gloo", store=store, rank=int(rank), world_size=2)
value = torch.tensor([int(rank) + 1])
dist.all_reduce(value)
dist.barrier()
print(value.item())
dist.destroy_process_group()
"""


def test_a_process_group_forms_over_it(shared_etcd, prefix):
    command = [sys.executable, "-c", PROGRAM, shared_etcd.url, prefix]
    processes = [
        subprocess.Popen([*command, rank], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for rank in "01"
    ]
    for process in processes:
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err.decode()
        assert out == b"3\n"


def test_a_client_that_is_none_is_refused(prefix):
    from rdzv_client.etcd_store import EtcdStore

    with pytest.raises(TypeError, match=r"expected an rdzv_client\.etcdv3\.Client or"):
        EtcdStore(object(), prefix)


def test_reading_costs_the_same_however_many_other_keys_there_are(store, client, monkeypatch):
    store.set("key", "value")
    with _traffic(client, monkeypatch) as alone:
        store.get("key")
    keys = list(map(str, range(2000)))
    store.multi_set(keys, keys)
    with _traffic(client, monkeypatch) as among_many:
        store.get("key")
    assert among_many == alone


@contextlib.contextmanager
def _traffic(client, monkeypatch):
    """The requests that are made, each with how many keys its answer holds."""
    seen, send = [], client.transport.send

    def note(request, *args):
        answer = send(request, *args)
        seen.append((request.body, len(answer.kvs)))
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(client.transport, "send", note)
        yield seen
