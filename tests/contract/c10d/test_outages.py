"""What happens to members when their TCPStore freezes, dies, or is replaced by an empty one."""

import threading

import pytest
from rounds import until

from rdzv_client import publication, wire
from rdzv_client.backends import StoreUnavailable


def test_a_frozen_store_holds_nobody_and_nobody_is_lost_when_it_thaws(fragile_table):
    leader = fragile_table.seat("leader").register().lead()
    member = fragile_table.seat("member").register()
    leader.until(lambda: len(leader.members()) == 2)
    fragile_table.store.freeze()
    for seat in (leader, member):
        # 12 s longer where the member has begun a new connection by then.
        with pytest.raises(StoreUnavailable, match=r"did not answer within (2|14) s"):
            seat.backend.read_round()
        seat.until(lambda seat=seat: "unreachable" in seat.told)
    fragile_table.store.thaw()
    for seat in (leader, member):
        seat.until(lambda seat=seat: seat.told[-1] in ("beaten", "changed"))
    assert leader.lead().publish(1, "leader", "member")
    member.until(lambda: member.number() == 1)
    assert "lapsed" not in leader.told + member.told


def test_an_empty_store_in_place_of_the_old_one_is_noticed_by_all(fragile_table):
    seats = [fragile_table.seat(name).register() for name in "abc"]
    seats[0].lead().publish(1, "a", "b", "c")
    fragile_table.store.replace()
    for seat in seats:
        seat.come_back()
    seats[0].until(lambda: any(seat.backend.leading for seat in seats))
    [leader] = [seat for seat in seats if seat.backend.leading]
    leader.until(lambda: leader.members() == set("abc"))
    assert leader.round is None
    assert leader.told.count("listed") == 2


def test_the_members_bring_the_round_back_each_its_own_place(fragile_table):
    a, b = (fragile_table.seat(name).register() for name in "ab")
    a.lead().publish(1, "a", "b", phase="broken")
    b.until(lambda: b.number() == 1)
    round_ = wire.decode(wire.Round, a.round.key, a.round.value)
    places = {
        seat: wire.decode(wire.Rank, key, seat.documents[key].value)
        for seat in (a, b)
        for key in [fragile_table.keys.rank(seat.record.id)]
    }
    fragile_table.store.replace()
    for seat in (b, a):
        seat.documents = {}
        seat.come_back()
    b.lead()
    for seat in (b, a):
        seat.backend.restore(publication.Restoration(round_, places[seat]), 0)
    for seat in (b, a):
        seat.until(lambda seat=seat: seat.number() == 1)
    wanted = {fragile_table.keys.rank(name) for name in "ab"}
    b.until(lambda: wanted <= set(b.documents))
    b.publish(2, "a", "b")
    a.until(lambda: a.number() == 2)


def test_where_it_may_a_member_hosts_the_store_when_nobody_else_does(fragile_table):
    store = fragile_table.store
    seats = [
        fragile_table.seat(name, store.endpoint(2.0, may_host=True)).register() for name in "ab"
    ]
    store.server.kill()
    for seat in seats:
        seat.come_back()
    seats[0].until(lambda: any(seat.backend.leading for seat in seats))
    [leader] = [seat for seat in seats if seat.backend.leading]
    leader.until(lambda: leader.members() == {"a", "b"})


def test_where_it_may_not_it_says_that_nobody_listens(fragile_table):
    seat = fragile_table.seat("a")
    fragile_table.store.server.kill()
    address = f"127.0.0.1:{fragile_table.store.server.port}"
    with pytest.raises(StoreUnavailable, match=address):
        seat.register()


def test_stopping_ends_within_seconds_even_when_the_store_does_not_answer(fragile_table):
    import time

    seat = fragile_table.seat("a").register().lead()
    fragile_table.store.freeze()
    began = time.monotonic()
    seat.backend.stop()
    assert time.monotonic() - began < 10
    fragile_table.store.thaw()


def test_a_thread_that_torch_lets_go_late_is_awaited_for_the_process_would_be_aborted(
    fragile_table, monkeypatch
):
    from rdzv_client.backends.c10d import backend

    monkeypatch.setattr(backend, "_RETURN_S", 0.1)
    endpoint = SlowToTell(fragile_table.store.endpoint(2.0))
    seat = fragile_table.seat("a", endpoint).register().lead()
    fragile_table.store.server.kill()
    until(lambda: endpoint.is_lost and not endpoint.is_there())
    threading.Timer(0.5, endpoint.may_tell.set).start()
    seat.backend.stop()
    assert endpoint.told


class SlowToTell:
    """An endpoint whose lost connections are told only when the test allows it."""

    def __init__(self, endpoint):
        self._endpoint, self.may_tell = endpoint, threading.Event()
        self.is_lost = self.told = False

    def __getattr__(self, name):
        return getattr(self._endpoint, name)

    def connect(self):
        return _SlowStore(self._endpoint.connect(), self)


class _SlowStore:
    def __init__(self, store, how):
        self._store, self._how = store, how

    def __getattr__(self, name):
        def call(*args):
            try:
                return getattr(self._store, name)(*args)
            except RuntimeError:
                self._how.is_lost = True
                assert self._how.may_tell.wait(20)
                self._how.told = True
                raise

        return call
