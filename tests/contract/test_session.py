"""Members form rounds over every kind of real store, and keep them through its outages."""

import json
import logging
from contextlib import ExitStack

import pytest
from rounds import LIMIT_S, Entry, Run, enter, told, until, waits_as_spare

from rdzv_client import options

pytest.importorskip("torch", reason="the training environment is not installed")


@pytest.fixture
def run(shared_store):
    with ExitStack() as stack:
        yield Run(shared_store, stack)


@pytest.fixture
def fragile(own_store):
    """A run on a server of its own, to be mistreated."""
    with ExitStack() as stack:
        yield Run(own_store, stack)


def test_a_round_forms_when_all_who_are_expected_are_there(run):
    run.settings(expected=3)
    infos = enter(*[run.member(name, slot) for slot, name in enumerate("abc")])
    assert sorted(info.rank for info in infos) == [0, 1, 2]
    assert {info.world_size for info in infos} == {3}
    assert len({info.bootstrap_store_info.master_port for info in infos}) == 1


def test_the_members_of_a_round_share_a_store_that_is_new_in_every_round(run):
    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    first, second = enter(a, b)
    first.store.set("key", "value")
    assert second.store.get("key") == b"value"
    again = Entry(a)
    assert told(b)
    assert not enter(b)[0].store.check(["key"])
    assert not again.result().store.check(["key"])


def test_a_newcomer_is_admitted_in_one_round(run):
    run.settings(expected=2)
    a, b, c = (run.member(name, slot) for slot, name in enumerate("abc"))
    enter(a, b)
    assert a.num_nodes_waiting() == 0
    run.settings(expected=3)
    newcomer = Entry(c)
    assert told(a, b)
    infos = [*enter(a, b), newcomer.result()]
    assert [info.rank for info in infos] == [0, 1, 2]
    assert a._session.round.number == 2


def test_who_completes_no_step_waits_and_takes_the_place_of_one_that_is_lost(run):
    run.settings(expected=3, step=2)
    a, b, c = (run.member(name, slot) for slot, name in enumerate("abc"))
    enter(a, b)
    spare = Entry(c)
    until(lambda: c._session.round)
    run.gone(b)
    assert told(a)
    assert [info.world_size for info in (*enter(a), spare.result())] == [2, 2]
    assert a._session.round.number == 2


def test_survivors_are_told_of_a_gone_pod_and_go_on_without_it(run):
    run.settings(expected=3)
    a, b, c = (run.member(name, slot) for slot, name in enumerate("abc"))
    enter(a, b, c)
    run.gone(c)
    assert told(a, b)
    assert [info.world_size for info in enter(a, b)] == [2, 2]
    assert "the pod was deleted" in a._session.round.reason


def test_a_gone_pod_that_lives_on_cannot_come_back(run):
    from rdzv_client import api

    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    enter(a, b)
    run.gone(b)
    assert told(b)
    with pytest.raises(api.RendezvousError, match="the pod was deleted"):
        Entry(b).result()


def test_without_an_operator_a_silent_member_is_lost_with_its_lease(run):
    run.settings(expected=3)
    a, b, c = (run.member(name, slot) for slot, name in enumerate("abc"))
    enter(a, b, c)
    c._session.backend.stop()
    assert told(a, b)
    assert [info.world_size for info in enter(a, b)] == [2, 2]


def test_the_loss_of_the_leader_is_settled_by_the_next_oldest(run):
    run.settings(expected=3)
    a = run.member("a", 0)
    first = Entry(a)
    until(lambda: a._session._written)
    b, c = run.member("b", 1), run.member("c", 2)
    enter(b, c)
    first.result()
    run.gone(a)
    assert told(b, c)
    assert sorted(info.rank for info in enter(b, c)) == [0, 1]


def test_a_leave_is_known_at_once_and_closes_nothing(run):
    run.settings(expected=3)
    a, b, c = (run.member(name, slot) for slot, name in enumerate("abc"))
    enter(a, b, c)
    c._leave("signal", "it was told to stop")
    assert told(a, b)
    enter(a, b)
    assert not a.is_closed()


def test_the_run_is_closed_when_all_have_finished(run):
    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    enter(a, b)
    a._finish()
    assert not a.is_closed()
    b._finish()
    assert a._settled(LIMIT_S)
    assert b._settled(LIMIT_S)
    assert a.is_closed()
    assert a.shutdown()


@pytest.fixture(params=[True, False], ids=["under torchrun", "as a library"])
def good_end(request, monkeypatch):
    """What a node raises whose part has ended well."""
    from rdzv_client import api, torchrun

    monkeypatch.setattr(torchrun, "is_running", lambda: request.param)
    return SystemExit if request.param else api.RendezvousGracefulExitError


def test_a_spare_that_was_not_needed_ends_with_success_and_says_so(run, good_end, caplog):
    caplog.set_level(logging.INFO, logger="rdzv_client")
    run.settings(expected=2, high=2)
    a, b, c = (run.member(name, slot) for slot, name in enumerate("abc"))
    enter(a, b)
    spare = Entry(c)
    until(lambda: waits_as_spare(c))
    a._finish()
    b._finish()
    with pytest.raises(good_end) as ended:
        spare.result()
    assert getattr(ended.value, "code", 0) == 0
    assert "over, and did not need this node: all 2 members finished" in caplog.text


def test_the_operators_word_closes_the_run_for_who_waits(run):
    from rdzv_client import api

    run.settings(expected=2)
    lonely = Entry(run.member("a", 0))
    run.settings(expected=2, closed="maxRestarts was exceeded")
    with pytest.raises(api.RendezvousClosedError, match="maxRestarts was exceeded"):
        lonely.result()


def test_nobody_coming_ends_in_a_timeout_that_says_who_is_missing(shared_store):
    from rdzv_client import api

    with ExitStack() as stack:
        run = Run(shared_store, stack, join_timeout=1)
        run.settings(expected=2)
        words = r"no place in a round within 1 s: .*; 1 member there \(a\), at least 2 needed"
        with pytest.raises(api.RendezvousTimeoutError, match=words):
            Entry(run.member("a", 0)).result()


def test_the_time_to_join_does_not_run_while_pods_wait_for_a_node(shared_store):
    from rdzv_client import api

    with ExitStack() as stack:
        run = Run(shared_store, stack, join_timeout=1)
        run.settings(expected=1, scheduling=True)
        lonely = Entry(run.member("a", 0))
        assert lonely.still_waits(2.5)
        run.settings(expected=1, scheduling=False)
        with pytest.raises(api.RendezvousTimeoutError, match="within 1 s"):
            lonely.result()


def test_a_store_that_cannot_be_reached_is_named(unreachable_store):
    from rdzv_client import api

    store, address = unreachable_store
    with ExitStack() as stack:
        run = Run(store, stack, join_timeout=1, close_timeout=0.2)
        with pytest.raises(api.RendezvousConnectionError, match=address):
            Entry(run.member("a", 0)).result()


def test_a_new_process_in_a_slot_takes_the_place_of_the_old_one(run):
    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    enter(a, b)
    successor = Entry(run.member("b2", 1))
    assert told(a)
    assert Entry(a).result().world_size == 2
    assert successor.result().world_size == 2
    assert told(b)


def test_any_member_may_close_the_run_and_who_works_is_not_disturbed(run):
    from rdzv_client import api

    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    enter(a, b)
    b.set_closed()
    assert b.is_closed()
    assert a._session.wait(a.is_closed, LIMIT_S)
    assert a.num_nodes_waiting() == 0
    with pytest.raises(api.RendezvousClosedError, match="b closed it"):
        Entry(a).result()


def test_a_run_may_be_closed_and_found_closed_without_joining_it(run):
    from rdzv_client import api

    outsider, newcomer = run.member("a"), run.member("b")
    assert not newcomer.is_closed()
    outsider.set_closed()
    assert newcomer.is_closed()
    with pytest.raises(api.RendezvousClosedError):
        Entry(newcomer).result()


def test_who_was_started_with_other_bounds_is_refused_by_name_and_the_others_go_on(run):
    from rdzv_client import api

    first = Entry(run.member("a", min_nodes=2, max_nodes=2))
    until(lambda: first.handler._session._written)
    with pytest.raises(api.RendezvousError, match=r"b was started with 3:3 .* a began .* 2:2"):
        Entry(run.member("b", min_nodes=3, max_nodes=3)).result()
    third = Entry(run.member("c", min_nodes=2, max_nodes=2))
    assert {first.result().world_size, third.result().world_size} == {2}


def test_an_operators_bounds_count_whatever_a_member_was_started_with(run):
    run.settings(expected=2, low=2, high=2)
    a, b = run.member("a", min_nodes=1, max_nodes=9), run.member("b", min_nodes=3, max_nodes=3)
    assert [info.world_size for info in enter(a, b)] == [2, 2]


def test_who_is_drained_leaves_the_round_and_ends_with_success(run, good_end):
    run.settings(expected=3)
    a, b, c = (run.member(name, slot) for slot, name in enumerate("abc"))
    enter(a, b, c)
    run.drain(c)
    assert told(a, b, c)
    survivors = [Entry(a), Entry(b)]
    with pytest.raises(good_end) as ended:
        Entry(c).result()
    assert getattr(ended.value, "code", 0) == 0
    assert [entry.result().world_size for entry in survivors] == [2, 2]
    assert a._session.round.cause == "drain"


def test_an_emptied_store_evicts_nobody_whose_bounds_the_operator_has_changed(fragile):
    fragile.settings(expected=2, high=5)
    a = fragile.member("a", 0, operated=True)
    b = fragile.member("b", 1, operated=True, max_nodes=5)
    enter(a, b)
    fragile.store.replace()
    assert not a._session.wait(lambda: a.num_nodes_waiting() or b.num_nodes_waiting(), 5)


def test_ranks_follow_the_topology(run):
    run.settings(expected=4)
    places = {"a": "rack-1", "b": "rack-2", "c": "rack-1", "d": "rack-2"}
    members = [run.member(n, slot, topology=places[n]) for slot, n in enumerate(places)]
    infos = dict(zip(places, enter(*members), strict=True))
    assert [infos[name].rank for name in "acbd"] == [0, 1, 2, 3]


def test_ranks_follow_what_the_operator_says_of_the_nodes(run):
    run.settings(expected=4, sites=True)
    places = {"a": "rack-1", "b": "rack-2", "c": "rack-1", "d": "rack-2"}
    members = [run.member(n, slot, node=f"node-{n}") for slot, n in enumerate(places)]
    for member, rack in zip(members[:3], places.values(), strict=False):
        run.site(member, rack)
    entries = [Entry(member) for member in members]
    assert entries[0].still_waits(1), "where one of them runs is not told yet"
    run.site(members[3], places["d"])
    infos = dict(zip(places, (entry.result() for entry in entries), strict=True))
    assert [infos[name].rank for name in "acbd"] == [0, 1, 2, 3]


def test_an_agent_whose_peer_dies_while_ranks_are_exchanged_goes_on_to_the_next_round(run):
    run.settings(expected=2, low=1)
    a, b = run.member("a", 0), run.member("b", 1)
    first, _ = enter(a, b)
    own = {"role": "trainer", "rank": 0, "local_world_size": 4}
    first.store.set("torchelastic/role_info/0", json.dumps(own).encode())
    run.gone(b)
    infos = first.store.multi_get([f"torchelastic/role_info/{rank}" for rank in range(2)])
    assert [json.loads(info)["local_world_size"] for info in infos] == [4, 4]
    assert a.num_nodes_waiting() == 1
    assert enter(a)[0].world_size == 1


def test_an_agent_whose_store_dies_while_ranks_are_exchanged_goes_on_to_the_next_round(run):
    run.settings(expected=2, low=1)
    a, b = run.member("a", 0), run.member("b", 1)
    host, guest = enter(a, b)
    own = {"role": "trainer", "rank": 1, "local_world_size": 4}
    guest.store.set("torchelastic/role_info/1", json.dumps(own).encode())
    del host
    a._bound = None
    run.gone(a)
    assert json.loads(guest.store.get("torchelastic/assigned_ranks/1")) == [4, 8, 4, 8]
    assert enter(b)[0].world_size == 1


def test_a_frozen_store_costs_no_round(fragile):
    fragile.settings(expected=2)
    a, b = fragile.member("a", 0), fragile.member("b", 1)
    enter(a, b)
    fragile.store.freeze()
    # Longer than the lease: all leases run out together.
    assert not a._session.wait(lambda: a.num_nodes_waiting() == 1, 4)
    fragile.store.thaw()
    assert not a._session.wait(lambda: a.num_nodes_waiting() == 1, 5)
    assert not b.num_nodes_waiting()


@pytest.mark.parametrize("outage", ["restart", "replace"])
def test_a_store_that_was_away_costs_no_round(fragile, outage):
    """It comes back with its data, or empty."""
    fragile.settings(expected=2)
    a, b = fragile.member("a", 0), fragile.member("b", 1)
    enter(a, b)
    port = a._session.round.store.port
    getattr(fragile.store, outage)()
    assert not a._session.wait(lambda: a.num_nodes_waiting() == 1, 5)
    assert not b.num_nodes_waiting()
    assert fragile.store.round(fragile.keys).store.port == port


def test_a_round_record_that_is_no_round_is_an_error_of_state(run):
    from rdzv_client import api

    run.settings(expected=2)
    run.store.corrupt_round(run.keys, b"\x80\x04cos\nsystem\n(S'id'\ntR.")
    run.options = options.parse({"lease_ttl": 2, "join_timeout": 30})
    with pytest.raises(api.RendezvousStateError, match="not valid JSON"):
        Entry(run.member("a", 0)).result()


def test_a_standing_round_that_is_overwritten_disturbs_nobody_who_works_in_it(run):
    from rdzv_client import api

    run.settings(expected=2)
    run.options = options.parse({"lease_ttl": 2, "join_timeout": 30})
    handlers = run.member("a", 0), run.member("b", 1)
    enter(*handlers)
    run.store.corrupt_round(run.keys, b"no round")
    assert not handlers[0]._session.wait(lambda: handlers[0].num_nodes_waiting() == 1, 1)
    for entry in [Entry(handler) for handler in handlers]:
        with pytest.raises(api.RendezvousStateError, match=r"not valid JSON|is not a round"):
            entry.result()
