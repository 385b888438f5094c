"""Watches against a real etcd that restarts, freezes, loses its data and compacts."""

import os
import threading
import time

import pytest

from rdzv_client import etcdv3
from rdzv_client.etcdv3 import messages

ALL = messages.prefix("")


def established(seen):
    return seen.created() > 0


def has(*events):
    return lambda seen: all(event in seen.events for event in events)


def test_changes_arrive_in_order_after_the_watch_said_it_is_established(client, follow):
    seen = follow(client, messages.prefix("k/")).until(established)
    client.put("k/a", b"1")
    client.put("other", b"x")
    client.delete("k/a")
    seen.until(lambda seen: len(seen.events) == 2)
    assert seen.events == [("put", "k/a", b"1"), ("delete", "k/a", b"")]
    assert seen.batches[0].created
    assert seen.batches[0].header.cluster_id == client.status().header.cluster_id


def test_nothing_is_missed_between_a_listing_and_the_watch(client, follow):
    listed = client.get_prefix("k/")
    client.put("k/a", b"1")
    seen = follow(client, messages.prefix("k/"), start_revision=listed.revision + 1)
    seen.until(has(("put", "k/a", b"1")))


def test_a_transaction_arrives_as_one_batch(client, follow):
    seen = follow(client, ALL).until(established)
    client.txn([], [messages.put("a", b"1"), messages.put("b", b"2")])
    seen.until(lambda seen: len(seen.events) == 2)
    assert [len(batch.events) for batch in seen.batches] == [0, 2]


def test_events_can_carry_what_was_there_before(client, follow):
    client.put("a", b"1")
    seen = follow(client, ALL, prev_kv=True).until(established)
    client.put("a", b"2")
    client.delete("a")
    seen.until(lambda seen: len(seen.events) == 2)
    previous = [event.prev.value for batch in seen.batches for event in batch.events]
    assert previous == [b"1", b"2"]


def test_one_watch_follows_several_ranges_and_tells_them_apart(client, follow):
    ranges = [messages.one("a"), messages.prefix("b/"), messages.one("c")]
    seen = follow(client, *ranges).until(lambda seen: seen.created() == 3)
    for key in ("a", "b/1", "c", "d"):
        client.put(key, b"")
    seen.until(lambda seen: len(seen.events) == 3)
    ids = {event.kv.key: batch.watch_id for batch in seen.batches for event in batch.events}
    assert ids == {"a": 1, "b/1": 2, "c": 3}


def test_ranges_are_added_and_cancelled_while_the_watch_runs(client, follow):
    seen = follow(client, messages.one("a")).until(established)
    old = client.put("b", b"old").revision
    added = seen.watch.add(messages.one("b"), start_revision=old)
    seen.until(has(("put", "b", b"old")))
    seen.watch.cancel(added)
    seen.watch.cancel(4711)
    marker = seen.watch.add(messages.one("marker"))
    seen.until(lambda seen: any(batch.watch_id == marker for batch in seen.batches))
    client.put("b", b"unseen")
    client.put("a", b"seen")
    seen.until(has(("put", "a", b"seen")))
    assert ("put", "b", b"unseen") not in seen.events


def test_a_thousand_ranges_fit_one_watch(client, follow):
    ranges = [messages.one(f"m/{number}") for number in range(1000)]
    seen = follow(client, *ranges).until(lambda seen: seen.created() == 1000)
    client.put("m/0", b"")
    client.put("m/999", b"")
    seen.until(lambda seen: len(seen.events) == 2)


def test_many_watches_see_the_same(client, follow):
    watches = [follow(client, ALL).until(established) for _ in range(30)]
    client.put("a", b"1")
    for seen in watches:
        seen.until(has(("put", "a", b"1")))


def test_a_large_batch_arrives_whole(client, follow):
    seen = follow(client, ALL).until(established)
    client.txn([], [messages.put(f"l/{number}", b"x" * 10_000) for number in range(100)])
    seen.until(lambda seen: len(seen.events) == 100)


def test_a_long_backlog_arrives_without_gap_or_repetition(client, follow):
    first = client.put("n", b"0").revision
    for number in range(1, 1500):  # more than etcd sends in one message
        client.put("n", str(number).encode())
    seen = follow(client, messages.one("n"), start_revision=first)
    seen.until(lambda seen: len(seen.events) == 1500)
    assert [int(value) for _, _, value in seen.events] == list(range(1500))


# Ending


def test_closing_ends_an_idle_watch_at_once(client, follow):
    seen = follow(client, ALL).until(established)
    started_s = time.monotonic()
    seen.close()
    assert time.monotonic() - started_s < 1
    assert seen.ended == "closed"


def test_closing_ends_a_watch_that_waits_for_the_server(connect, follow, dead_url):
    seen = follow(connect(dead_url), ALL, max_delay_s=60)
    started_s = time.monotonic()
    seen.close()
    assert time.monotonic() - started_s < 5


def test_a_closed_watch_stays_closed(client):
    watch = etcdv3.Watch(client, [ALL])
    watch.close()
    watch.close()
    watch.reconnect("after the end")
    watch.add(messages.one("a"))
    assert list(watch) == []


def test_a_watch_is_not_used_by_a_forked_child(client, follow):
    seen = follow(client, ALL).until(established)
    child = os.fork()
    if child == 0:
        try:
            with pytest.raises(RuntimeError, match="another process"):
                next(seen.watch)
            seen.watch.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    client.put("a", b"1")
    seen.until(has(("put", "a", b"1")))


# Going on after a disconnection


def test_a_restart_with_data_is_survived_without_a_gap(etcd, connect, follow):
    client, contacts = connect(etcd.url), []
    seen = follow(client, messages.prefix("k/"), messages.one("z"), on_contact=contacts.append)
    seen.until(lambda seen: seen.created() == 2)
    client.put("k/a", b"1")
    seen.until(has(("put", "k/a", b"1")))
    etcd.restart()
    client.put("k/b", b"2")
    client.put("z", b"3")
    seen.until(has(("put", "k/b", b"2"), ("put", "z", b"3")))
    assert len(seen.events) == 3
    assert [contact.connected for contact in contacts] == [True, False, True]
    assert contacts[1].endpoint == etcd.url
    assert contacts[1].reason
    assert contacts[0].since_s < contacts[1].since_s < contacts[2].since_s
    assert seen.watch.contact == contacts[2]


def test_the_next_endpoint_is_used_when_one_is_dead(shared_etcd, connect, follow, dead_url):
    client = connect(dead_url, shared_etcd.url)
    seen = follow(client, ALL).until(established)
    client.put("a", b"1")
    seen.until(has(("put", "a", b"1")))
    client.delete("a")


def test_a_watch_leaves_its_endpoint_when_told(client, follow):
    contacts = []
    seen = follow(client, ALL, on_contact=contacts.append).until(established)
    seen.watch.reconnect("the lease could not be kept alive there")
    seen.until(lambda seen: seen.created() == 2)
    client.put("a", b"1")
    seen.until(has(("put", "a", b"1")))
    assert contacts[1].reason == "the lease could not be kept alive there"


def test_a_frozen_server_is_noticed_and_watched_again_when_it_thaws(etcd, connect, follow):
    client = connect(etcd.url, connect_timeout_s=0.3)
    contacts, lost = [], threading.Event()

    def note(contact):
        contacts.append(contact)
        if not contact.connected:
            lost.set()

    seen = follow(client, ALL, heartbeat_s=0.2, on_contact=note).until(established)
    etcd.freeze()
    assert lost.wait(5)
    assert "nothing heard" in contacts[1].reason
    etcd.thaw()
    client.put("a", b"1")
    seen.until(has(("put", "a", b"1")))


def test_a_silent_server_that_lives_is_not_given_up(client, follow):
    contacts = []
    follow(client, ALL, heartbeat_s=0.05, on_contact=contacts.append).until(established)
    time.sleep(0.5)  # ten heartbeats
    assert [contact.connected for contact in contacts] == [True]


# When it cannot go on


def test_compaction_beyond_the_start_asks_for_a_new_listing(client, shared_etcd, follow):
    old = client.put("a", b"1").revision
    new = client.put("a", b"2").revision
    shared_etcd.compact(new)
    ended = follow(client, ALL, start_revision=old).until_ended()
    assert isinstance(ended, etcdv3.Resync)
    assert str(new) in ended.reason


def test_another_cluster_asks_for_a_new_listing(etcd, connect, follow):
    seen = follow(connect(etcd.url), ALL).until(established)
    etcd.empty(token="second")
    etcd.start()
    ended = seen.until_ended()
    assert isinstance(ended, etcdv3.Resync)
    assert "cluster" in ended.reason


def test_another_cluster_than_the_listed_one_asks_for_a_new_listing(client, follow):
    header = client.put("a", b"1").header
    start = header.revision + 1
    follow(client, ALL, start_revision=start, cluster_id=header.cluster_id).until(established)
    ended = follow(client, ALL, start_revision=start, cluster_id=4711).until_ended()
    assert isinstance(ended, etcdv3.Resync)


def test_an_emptied_store_asks_for_a_new_listing(etcd, connect, follow):
    client = connect(etcd.url)
    before = client.put("a", b"1")
    seen = follow(client, ALL, start_revision=before.revision).until(has(("put", "a", b"1")))
    etcd.empty()
    etcd.start()
    ended = seen.until_ended()
    assert client.status().header.cluster_id == before.header.cluster_id  # the id does not tell
    assert isinstance(ended, etcdv3.Resync)
    assert "has not reached revision" in ended.reason


def test_an_emptied_store_is_recognised_even_when_it_has_grown_again(etcd, connect):
    client = connect(etcd.url)
    with etcdv3.Watch(client, [ALL]) as watch:
        assert next(watch).created
        seen = client.put("a", b"1").revision
        assert next(watch).events
        etcd.empty()
        etcd.start()
        for _ in range(seen):
            grown = client.put("a", b"of another life").revision
        assert grown > seen
        with pytest.raises(etcdv3.Resync, match="lost what it had"):
            next(watch)


def test_a_watch_from_a_revision_that_never_was_asks_for_a_new_listing(client, follow):
    future = client.put("a", b"1").revision + 100
    ended = follow(client, ALL, start_revision=future).until_ended()
    assert isinstance(ended, etcdv3.Resync)


def test_a_heartbeat_of_no_time_is_refused(client):
    with pytest.raises(ValueError, match="heartbeat_s"):
        etcdv3.Watch(client, [ALL], heartbeat_s=0)
