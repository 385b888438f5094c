"""Who leads over a TCPStore, how that passes on, and what a deposed leader may not do."""

import threading

import pytest

from rdzv_client import wire
from rdzv_client.backends import Evicted


def test_the_first_who_comes_leads_and_hears_of_all_others(table):
    first = table.seat("first").register().lead()
    second = table.seat("second").register()
    first.until(lambda: first.members() == {"first", "second"})
    assert not second.backend.leading


def test_of_many_who_come_at_once_one_leads(table):
    seats = [table.seat(f"m{number}") for number in range(8)]
    threads = [threading.Thread(target=seat.register) for seat in seats]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seats[0].until(lambda: any(seat.backend.leading for seat in seats))
    [leader] = [seat for seat in seats if seat.backend.leading]
    leader.until(lambda: len(leader.members()) == 8)
    assert leader.publish(1, *[f"m{number}" for number in range(8)])
    for seat in seats:
        seat.until(lambda seat=seat: seat.number() == 1)
        assert table.keys.rank(seat.record.id) in seat.documents
    assert [seat for seat in seats if seat.backend.leading] == [leader]


def test_a_member_hears_of_the_round_and_of_its_own_place_alone(table):
    leader = table.seat("leader").register().lead()
    a, b = table.seat("a").register(), table.seat("b").register()
    leader.until(lambda: len(leader.members()) == 3)
    leader.publish(1, "leader", "a", "b")
    for seat in (a, b):
        seat.until(lambda seat=seat: seat.number() == 1)
        assert set(seat.documents) == {table.keys.round, table.keys.rank(seat.record.id)}


def test_who_leads_and_goes_names_its_heir_at_once(table):
    leader = table.seat("leader").register().lead()
    heir, other = table.seat("heir").register(), table.seat("other").register()
    leader.until(lambda: len(leader.members()) == 3)
    leader.publish(1, "leader", "heir", "other")
    leader.backend.leave(wire.Left("leader", "leader", None, "leader", "left", "enough"))
    heir.lead()
    assert not leader.backend.leading
    assert heir.members() == {"heir", "other"}
    assert table.keys.left("leader") in heir.documents
    assert {table.keys.rank(name) for name in ("leader", "heir", "other")} <= set(heir.documents)
    heir.publish(2, "heir", "other")
    other.until(lambda: other.number() == 2)


def test_who_comes_after_all_have_gone_leads_at_once(table):
    leader = table.seat("leader").register().lead()
    leader.publish(7, "leader")
    leader.backend.leave(wire.Left("leader", "leader", None, "leader", "left", "enough"))
    next_one = table.seat("next").register().lead()
    assert next_one.number() == 7


def test_a_leader_that_shows_no_life_is_replaced_and_may_write_nothing(table):
    leader = table.seat("leader").register().lead()
    heir = table.seat("heir").register()
    leader.until(lambda: len(leader.members()) == 2)
    leader.publish(1, "leader", "heir")
    leader.lively = False
    heir.lead()
    assert heir.members() == {"heir"}
    heir.publish(2, "heir")
    leader.until(lambda: "lapsed" in leader.told)
    assert not leader.publish(3, "leader")
    assert not leader.backend.rewrite(leader.record)
    assert heir.number() == 2
    leader.lively = True
    leader.register()
    heir.until(lambda: heir.members() == {"leader", "heir"})
    assert not leader.backend.leading


def test_a_leader_that_does_not_know_that_it_is_deposed_writes_nothing(table):
    leader = table.seat("leader").register().lead()
    leader.publish(1, "leader")
    usurper = table.seat("usurper").register()
    leader.until(lambda: len(leader.members()) == 2)
    # As if the leader had been paused at this very point: it hears nothing and shows no life.
    leader.lively = False
    leader.backend._ear.give_up()
    usurper.lead()
    assert leader.backend.leading
    assert not leader.publish(2, "leader")
    assert usurper.number() == 1
    assert usurper.publish(2, "usurper")
    place = usurper.documents[table.keys.rank("usurper")]
    assert wire.decode(wire.Rank, place.key, place.value).leader == "usurper"


def test_a_member_that_shows_no_life_is_dropped_by_the_leader_and_may_come_back(table):
    leader = table.seat("leader").register().lead()
    member = table.seat("member").register()
    leader.until(lambda: len(leader.members()) == 2)
    member.lively = False
    leader.until(lambda: leader.members() == {"leader"})
    member.until(lambda: "lapsed" in member.told)
    assert not member.backend.rewrite(member.record)
    member.lively = True
    member.register()
    leader.until(lambda: len(leader.members()) == 2)


def test_a_leader_that_is_declared_gone_passes_on_and_cannot_come_back(table):
    leader = table.seat("leader").register().lead()
    heir = table.seat("heir").register()
    leader.until(lambda: len(leader.members()) == 2)
    table.store.gone(table.keys, leader.record, "its node died")
    heir.lead()
    leader.until(lambda: "lapsed" in leader.told)
    with pytest.raises(Evicted, match="its node died"):
        leader.register()
    assert heir.members() == {"heir"}


def test_the_next_in_line_leads_at_once_in_place_of_a_dead_one_that_is_declared_gone(table):
    leader = table.seat("leader").register().lead()
    heir, other = table.seat("heir").register(), table.seat("other").register()
    leader.until(lambda: len(leader.members()) == 3)
    for seat in (heir, other):
        seat.lively = False  # they do not look for its signs of life, so no lease runs out
    leader.backend.stop()
    table.store.gone(table.keys, leader.record, "its node died")
    heir.lead()
    assert heir.members() == {"heir", "other"}
    assert not other.backend.leading


def test_a_counter_that_is_none_is_an_error_of_what_stands_there(fragile_table):
    seat = fragile_table.seat("a")
    seat.backend._do(lambda store: store.set(seat.backend._layout.numbers, "many"))
    with pytest.raises(wire.WireError, match="numbers' is no number: b'many'"):
        seat.register()


def test_the_next_process_in_the_leaders_slot_takes_its_place(table):
    leader = table.seat("leader", slot=0).register().lead()
    successor = table.seat("successor", slot=0).register().lead()
    assert successor.members() == {"successor"}
    with pytest.raises(Evicted, match="slot 0 was taken over by successor"):
        leader.register()


def test_who_is_refused_is_told_why(table):
    leader = table.seat("leader").register().lead()
    other = table.seat("other").register()
    leader.until(lambda: len(leader.members()) == 2)
    leader.backend.refuse(wire.Left("other", "other", None, "other", "left", "other bounds"))
    other.until(lambda: "lapsed" in other.told)
    with pytest.raises(Evicted, match="other bounds"):
        other.register()
    leader.until(lambda: leader.members() == {"leader"})


def test_settings_may_be_there_before_anybody_comes_and_change_later(table):
    table.store.settle(table.keys, wire.Settings(1, 1, 2))
    leader = table.seat("leader").register().lead()
    assert table.keys.settings in leader.documents
    table.store.settle(table.keys, wire.Settings(2, 1, 3))
    leader.until(lambda: b'"seq":2' in leader.documents[table.keys.settings].value)


def test_what_others_leave_under_the_runs_keys_harms_nobody(table):
    leader = table.seat("leader").register().lead()
    store = table.store.endpoint().connect()
    prefix = table.keys.prefix
    store.set(f"{prefix}members/999", b"\x80\x04.")
    store.append(f"{prefix}catalog", "members/999\nmembers/1000\nno such name\n")
    number = store.add(f"{prefix}bell", 0)
    store.append(f"{prefix}bells/{number}", "members/999\nmembers/1000\nleft/x\nround\n\xff\n")
    table.seat("member").register()
    leader.until(lambda: leader.members() == {"leader", "member"})
