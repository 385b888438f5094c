"""The client against a real etcd."""

import os
import threading
import time

import pytest

from rdzv_client import etcdv3
from rdzv_client.etcdv3 import messages


def test_a_key_comes_back_with_its_revisions(client):
    put = client.put("a", b"1")
    client.put("a", b"2")
    found = client.get("a")
    assert (found.value, found.version, found.lease) == (b"2", 2, 0)
    assert (found.create_revision, found.mod_revision) == (put.revision, put.revision + 1)


def test_a_missing_key_is_none(client):
    assert client.get("nothing") is None


@pytest.mark.parametrize("value", [b"", b"\x00\xff\n\r", "\u00e4\u4e16".encode(), b"x" * 1_000_000])
def test_any_bytes_can_be_a_value(client, value):
    client.put("a", value)
    assert client.get("a").value == value


@pytest.mark.parametrize("key", ["a b/\u4e16", "\x00", "a\n", "\udcff\udcfe"])
def test_any_text_can_be_a_key(client, key):
    client.put(key, b"1")
    assert [kv.key for kv in client.get_prefix(key).kvs] == [key]


def test_an_empty_key_is_refused_before_it_is_sent(client):
    for attempt in (client.get, client.delete, lambda key: client.put(key, b"")):
        with pytest.raises(ValueError, match="must not be empty"):
            attempt("")


def test_a_prefix_is_listed_in_order_and_without_its_neighbours(client):
    for key in ("p/2", "p/1", "p0", "o", "p/\u4e16"):
        client.put(key, key.encode())
    found = client.get_prefix("p/")
    assert [kv.key for kv in found.kvs] == ["p/1", "p/2", "p/\u4e16"]
    assert (found.count, found.more) == (3, False)


def test_a_listing_can_be_cut_and_sorted_and_leave_values_out(client):
    for key in ("c", "a", "b"):
        client.put(key, b"x")
    newest = client.get_prefix("", limit=2, sort="-create", keys_only=True)
    assert [(kv.key, kv.value) for kv in newest.kvs] == [("b", b""), ("a", b"")]
    assert (newest.count, newest.more) == (3, True)


def test_the_predecessor_in_an_election_is_one_request_away(client):
    for key in ("e/z", "e/m", "e/a"):
        client.put(key, b"")
    own = client.get("e/a").create_revision
    before = client.get_prefix("e/", sort="-create", limit=1, max_create_revision=own - 1)
    assert [kv.key for kv in before.kvs] == ["e/m"]


def test_deleting_tells_how_many_keys_there_were(client):
    for key in ("d/1", "d/2", "e"):
        client.put(key, b"")
    assert client.delete("nothing").deleted == 0
    assert client.delete("e").deleted == 1
    assert client.delete_prefix("d/").deleted == 2


def test_a_transaction_takes_the_branch_that_its_conditions_choose(client):
    success = [messages.put("a", b"1"), messages.get("a"), messages.delete("b")]
    failure = [messages.get_prefix("a")]
    first = client.txn([messages.absent("a")], success, failure)
    second = client.txn([messages.absent("a")], success, failure)
    assert first.succeeded
    assert not second.succeeded
    assert first.responses[1].kvs[0].value == b"1"
    assert first.responses[2].deleted == 0
    assert second.responses[0].kvs == first.responses[1].kvs
    assert second.revision == first.revision


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (lambda kv: messages.created(kv.key, kv.create_revision), True),
        (lambda kv: messages.created(kv.key, kv.mod_revision), False),
        (lambda kv: messages.modified(kv.key, kv.mod_revision), True),
        (lambda kv: messages.modified(kv.key, kv.create_revision), False),
        (lambda kv: messages.absent(kv.key), False),
        (lambda kv: messages.absent("other"), True),
        (lambda kv: messages.present(kv.key), True),
        (lambda kv: messages.present("other"), False),
        (lambda kv: messages.value_is(kv.key, b"2"), True),
        (lambda kv: messages.value_is(kv.key, b"1"), False),
        (lambda kv: messages.modified("other", 0), True),
    ],
)
def test_conditions_hold_when_they_say(client, condition, holds):
    client.put("a", b"1")
    client.put("a", b"2")
    assert client.txn([condition(client.get("a"))], []).succeeded == holds


def test_history_can_be_read_until_it_is_compacted(client, shared_etcd):
    old = client.put("a", b"1").revision
    new = client.put("a", b"2").revision
    get = messages.one("a")
    assert client.range(messages.Get(get, revision=old)).kvs[0].value == b"1"
    with pytest.raises(etcdv3.FutureRevision):
        client.range(messages.Get(get, revision=new + 1))
    shared_etcd.compact(new)
    with pytest.raises(etcdv3.Compacted):
        client.range(messages.Get(get, revision=old))


def test_a_lease_lives_while_it_is_kept_alive_and_takes_its_keys_with_it(client, follow):
    lease = client.grant(1)
    client.put("a", b"1", lease)
    assert client.get("a").lease == lease
    seen = follow(client, messages.one("a")).until(lambda seen: seen.created())
    assert client.keep_alive(lease) >= 1
    seen.until(lambda seen: ("delete", "a", b"") in seen.events)  # nobody kept it alive
    with pytest.raises(etcdv3.LeaseNotFound):
        client.keep_alive(lease)


def test_a_revoked_lease_is_gone_at_once(client):
    lease = client.grant(60)
    client.put("a", b"1", lease)
    client.revoke(lease)
    assert client.get("a") is None
    for attempt in (
        lambda: client.revoke(lease),
        lambda: client.keep_alive(lease),
        lambda: client.put("a", b"", lease),
    ):
        with pytest.raises(etcdv3.LeaseNotFound):
            attempt()


def test_a_lease_can_have_a_chosen_id_once(client):
    assert client.grant(60, lease=4711) == 4711
    with pytest.raises(etcdv3.RequestRefused, match="already exists"):
        client.grant(60, lease=4711)
    client.revoke(4711)


def test_status_tells_version_and_leader(client):
    status = client.status()
    assert status.version.startswith("3.")
    assert client.version == status.version
    assert status.leader == status.member_id
    assert status.header.cluster_id > 0
    assert status.db_size_bytes > 0


def test_what_etcd_refuses_is_said_in_its_words(client):
    with pytest.raises(etcdv3.RequestRefused, match="duplicate key") as caught:
        client.txn([], [messages.put("a", b"1"), messages.put("a", b"2")])
    assert not caught.value.ambiguous


def test_threads_share_a_client(client):
    def write(writer):
        for number in range(20):
            client.put(f"t/{writer}/{number}", b"x")
            assert client.get(f"t/{writer}/{number}").value == b"x"

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get_prefix("t/").count == 160


def test_a_forked_child_talks_on_connections_of_its_own(shared_etcd, connect):
    client = connect(shared_etcd.url)  # gRPC promises nothing to forked children
    client.put("parent", b"1")
    child = os.fork()
    if child == 0:
        try:
            client.put("child", client.get("parent").value)
            os._exit(0)
        finally:
            os._exit(1)
    for number in range(50):
        client.put("parent", str(number).encode())
    assert os.waitpid(child, 0)[1] == 0
    assert client.get("child") is not None


# Endpoints that fail


def test_a_dead_endpoint_is_passed_over_for_writes_too(shared_etcd, connect, dead_url):
    client = connect(dead_url, shared_etcd.url)
    client.put("a", b"1")
    assert client.get("a").value == b"1"
    assert client.delete("a").deleted == 1


def test_the_error_names_each_endpoint_and_what_happened_there(connect, dead_url):
    with pytest.raises(etcdv3.ConnectionFailed, match="refused") as caught:
        connect(dead_url).put("a", b"")
    assert [endpoint for endpoint, _ in caught.value.attempts] == [dead_url]
    assert not caught.value.ambiguous
    assert not isinstance(caught.value, etcdv3.RequestTimedOut)


def test_a_host_that_does_not_exist_is_a_connection_failure(connect):
    with pytest.raises(etcdv3.ConnectionFailed, match=r"no-such-host\.invalid"):
        connect("http://no-such-host.invalid:2379").get("a")


def test_a_restarted_server_is_used_again_without_an_error(etcd, connect):
    client = connect(etcd.url)
    client.put("a", b"1")
    etcd.restart()
    client.put("b", b"2")  # the kept connection is dead, and a write must not fail by that
    assert client.get("a").value == b"1"


def test_a_frozen_server_ends_requests_in_time(etcd, connect):
    client = connect(etcd.url, request_timeout_s=0.5)
    client.put("a", b"1")
    etcd.freeze()
    started_s = time.monotonic()
    with pytest.raises(etcdv3.RequestTimedOut) as read:
        client.get("a")
    with pytest.raises(etcdv3.RequestTimedOut) as write:
        client.put("a", b"2")
    with pytest.raises(etcdv3.RequestTimedOut):
        client.keep_alive(1, timeout_s=0.1)
    assert time.monotonic() - started_s < 5
    assert not read.value.ambiguous
    assert write.value.ambiguous
    etcd.thaw()
    assert client.get("a").value in (b"1", b"2")


def test_a_frozen_endpoint_leaves_time_for_the_next_one(etcd, shared_etcd, connect):
    client = connect(etcd.url, shared_etcd.url, request_timeout_s=1.0)
    assert client.status().header.cluster_id
    etcd.freeze()
    client.get_prefix("")
    assert client.put("a", b"1").revision  # now at the endpoint that answered
    assert client.delete("a").deleted == 1


def test_a_write_whose_answer_was_lost_is_not_sent_again(shared_etcd, connect, impostor):
    silent = impostor(b"")
    client = connect(silent.url, shared_etcd.url)
    with pytest.raises(etcdv3.ConnectionFailed) as caught:
        client.put("lost", b"1")
    assert caught.value.ambiguous
    assert client.get("lost") is None
    assert silent.requests == 1


def test_a_read_whose_answer_was_lost_is_sent_to_the_next_endpoint(shared_etcd, connect, impostor):
    client = connect(impostor(b"").url, shared_etcd.url)
    assert client.get("a") is None
    assert client.txn([], [messages.get("a")]).succeeded


# Arguments


@pytest.mark.parametrize(
    ("endpoints", "problem"),
    [
        ([], "at least one etcd endpoint"),
        ("http://host:2379", "expected a list"),
        (["host:2379"], "expected http://HOST:PORT"),
        (["etcd://host:2379"], "expected http://HOST:PORT"),
        (["http://"], "expected http://HOST:PORT"),
        (["http://host:port"], "Port could not be cast"),
        (["http://host:99999"], "Port out of range"),
        (["http://host:0"], "port 0"),
        (["http://host:2379/v2"], "and nothing else"),
        (["http://host:2379?a=b"], "and nothing else"),
        (["http://ho st:2379"], "and nothing else"),
        (["http://[::1:2379"], "Invalid IPv6"),
        (["http://user:secret@host:2379"], "do not belong in the URL"),
    ],
)
def test_a_wrong_endpoint_is_told_at_once(endpoints, problem):
    with pytest.raises(ValueError, match=problem) as caught:
        etcdv3.Client(endpoints)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://host", "http://host:2379"),
        ("https://host:1/", "https://host:1"),
        ("https://[::1]:2379", "https://[::1]:2379"),
        ("HTTP://Host:2379", "http://host:2379"),
    ],
)
def test_endpoints_are_shown_as_they_are_used(connect, text, shown):
    assert [str(endpoint) for endpoint in connect(text).transport.settings.endpoints] == [shown]


@pytest.mark.parametrize(
    "settings",
    [
        {"request_timeout_s": 0},
        {"connect_timeout_s": -1},
        {"limit_bytes": 0},
        {"user": "only"},
        {"password": "only"},
    ],
)
def test_wrong_settings_are_told_by_name(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        etcdv3.Client(["http://host:2379"], **settings)


def test_a_lease_of_no_time_is_refused(client):
    with pytest.raises(ValueError, match="ttl_s: expected at least 1"):
        client.grant(0)
