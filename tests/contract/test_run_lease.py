"""What a run leaves in an etcd that many share goes by itself, and not before the run's end."""

import time
from contextlib import ExitStack

import pytest
from rounds import LIMIT_S, Run, enter

from rdzv_client import etcdv3, wire
from rdzv_client.backends.run_lease import RunLease
from rdzv_client.etcdv3 import messages

RUN_TTL_S = 3

in_etcd = pytest.mark.parametrize("shared_store", ["etcd", "etcd3"], indirect=True)


@pytest.fixture
def run(shared_store):
    with ExitStack() as stack:
        yield Run(shared_store, stack)


@pytest.fixture
def seen(shared_etcd, connect):
    return connect(shared_etcd.url)


def lease_key(keys):
    return f"{keys.prefix}lease"


def under(client, keys):
    """The leases that the run's keys stand under."""
    return {kv.key: kv.lease for kv in client.get_prefix(keys.prefix).kvs}


def until(condition, limit_s=LIMIT_S):
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "it does not come about"
        time.sleep(0.05)  # what is waited for is what no watch would show


@in_etcd
def test_round_ranks_and_farewells_share_a_lease_of_two_hours(run, seen):
    run.settings(expected=3)
    members = [run.member(name, slot) for slot, name in enumerate("abc")]
    enter(*members)
    members[2]._leave("signal", "it was told to stop")
    enter(*members[:2])
    leases = under(seen, run.keys)
    lease = leases[lease_key(run.keys)]
    assert seen.keep_alive(lease) == 7200
    mine = {run.keys.round} | {
        k for k in leases if k.startswith((run.keys.ranks, run.keys.left_prefix))
    }
    assert {leases[key] for key in mine} == {lease}
    assert len(mine) >= 4
    assert leases[run.keys.settings] == 0
    members_leases = {leases[k] for k in leases if k.startswith(run.keys.members)}
    assert len(members_leases - {lease, 0}) == 2


@in_etcd
def test_a_lease_that_ran_out_costs_no_round(run, seen):
    run.settings(expected=3)
    members = [run.member(name, slot) for slot, name in enumerate("abc")]
    enter(*members)
    before = run.store.round(run.keys)
    lost = under(seen, run.keys)[run.keys.round]
    seen.revoke(lost)
    until(lambda: seen.get(run.keys.round) is not None)
    until(lambda: sum(key.startswith(run.keys.ranks) for key in under(seen, run.keys)) == 3)
    after = run.store.round(run.keys)
    assert (after.number, after.store, after.phase) == (before.number, before.store, "complete")
    assert under(seen, run.keys)[run.keys.round] not in (0, lost)
    assert not any(member.num_nodes_waiting() for member in members)


@in_etcd
def test_after_its_end_nothing_but_the_operators_keys_outlives_the_lease(run, seen):
    run.settings(expected=2)
    members = [run.member("a", 0), run.member("b", 1)]
    enter(*members)
    for member in members:
        assert member.shutdown()
    seen.revoke(under(seen, run.keys)[run.keys.round])
    assert set(under(seen, run.keys)) == {run.keys.settings}


def test_who_leads_keeps_it_alive_and_nobody_else_does(shared_etcd, connect):
    client = connect(shared_etcd.url)
    keys = wire.Keys("kept-alive")
    lease = RunLease(client, lease_key(keys), RUN_TTL_S)
    lease.txn([], [messages.put(keys.round, b"")])
    ends_s = time.monotonic() + 2 * RUN_TTL_S
    while time.monotonic() < ends_s:
        lease.renew()
        time.sleep(0.2)
    assert client.get(keys.round) is not None
    until(lambda: client.get(keys.round) is None)


def test_all_members_use_the_lease_of_the_first(shared_etcd, connect):
    keys = wire.Keys("shared")
    leases = [RunLease(connect(shared_etcd.url), lease_key(keys), RUN_TTL_S) for _ in "abc"]
    for number, lease in enumerate(leases):
        lease.txn([], [messages.put(f"{keys.prefix}{number}", b"")])
    assert len(set(under(connect(shared_etcd.url), keys).values())) == 1


def test_one_that_ran_out_is_replaced_when_something_is_written(shared_etcd, connect):
    client = connect(shared_etcd.url)
    keys = wire.Keys("replaced")
    lease = RunLease(client, lease_key(keys), RUN_TTL_S)
    lease.txn([], [messages.put(keys.round, b"first")])
    client.revoke(client.get(keys.round).lease)
    lease.txn([], [messages.put(keys.round, b"second")])
    assert client.get(keys.round).value == b"second"
    assert client.get(lease_key(keys)).lease == client.get(keys.round).lease


@pytest.mark.parametrize("value", [b"", b"text", b"-1", b"9" * 40, b"\xff"])
def test_what_is_no_lease_under_its_key_is_replaced(shared_etcd, connect, value):
    client = connect(shared_etcd.url)
    keys = wire.Keys("hostile")
    client.put(lease_key(keys), value)
    RunLease(client, lease_key(keys), RUN_TTL_S).txn([], [messages.put(keys.round, b"")])
    assert client.get(keys.round).lease == client.get(lease_key(keys)).lease != 0


def test_renewing_one_that_ran_out_is_said(shared_etcd, connect):
    client = connect(shared_etcd.url)
    keys = wire.Keys("ran-out")
    lease = RunLease(client, lease_key(keys), RUN_TTL_S)
    lease.renew()
    client.revoke(client.get(lease_key(keys)).lease)
    lease._renew_at_s = 0.0
    with pytest.raises(etcdv3.LeaseNotFound):
        lease.renew()
