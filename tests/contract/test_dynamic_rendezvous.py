"""Nodes meet over a backend that has get_state and set_state alone."""

import json
import os
import pickle
from contextlib import ExitStack

import pytest
from rounds import LIMIT_S, Entry, enter, told, until, waits_as_spare
from stores import FaultyMemory

pytest.importorskip("torch", reason="the training environment is not installed")

from torch.distributed import HashStore
from torch.distributed.elastic import rendezvous as torch_rendezvous

from rdzv_client import api
from rdzv_client.dynamic_rendezvous import create_handler

FAST = {"poll_interval": 0.1, "lease_ttl": 2, "admission_window": 0.2, "close_timeout": 2}


class Nodes:
    """Makes the handlers of one run, and shuts them down at the end."""

    def __init__(self, stack):
        self.backend = FaultyMemory()
        self._stack = stack

    def node(self, low=2, high=2, store=None, **config):
        params = api.RendezvousParameters(
            backend="memory",
            endpoint="localhost",
            run_id="run",
            min_nodes=low,
            max_nodes=high,
            **{**FAST, **config},
        )
        handler = create_handler(store, self.backend, params)
        self._stack.callback(handler.shutdown)
        return handler

    def records(self):
        return json.loads(self.backend.get_state()[0])["records"]


@pytest.fixture
def run():
    with ExitStack() as stack:
        yield Nodes(stack)


def test_all_nodes_join(run):
    infos = enter(*[run.node(low=3, high=3) for _ in range(3)])
    assert sorted(info.rank for info in infos) == [0, 1, 2]
    assert {info.world_size for info in infos} == {3}
    assert len({info.bootstrap_store_info.master_port for info in infos}) == 1


def test_more_nodes_are_waited_for_until_the_last_call(run):
    handlers = [run.node(low=2, high=4, last_call_timeout=0.5) for _ in range(3)]
    assert {info.world_size for info in enter(*handlers)} == {3}


def test_a_spare_beyond_the_most_waits_and_gets_in_when_one_leaves(run):
    a, b, spare = (run.node() for _ in range(3))
    enter(a, b)
    waiting = Entry(spare)
    until(lambda: waits_as_spare(spare))
    assert not a.num_nodes_waiting()
    b._leave("signal", "it was told to stop")
    assert told(a)
    again = Entry(a)
    assert [again.result().world_size, waiting.result().world_size] == [2, 2]
    assert not a.is_closed()


def test_a_newcomer_that_fails_before_it_got_in_closes_nothing(run):
    a, late = (run.node(low=1, high=2, last_call_timeout=0.1, admission_window=60) for _ in "al")
    enter(a)
    Entry(late)
    until(lambda: waits_as_spare(late))
    try:
        raise RuntimeError("its launcher gave up")
    except RuntimeError:
        assert late.shutdown()
    until(lambda: any(key.startswith("left/") for key in run.records()))
    assert not a.is_closed()
    assert not a.num_nodes_waiting()


def test_too_few_nodes_are_a_timeout_that_says_who_is_there(run):
    lonely = run.node(low=2, high=2, join_timeout=0.5)
    with pytest.raises(api.RendezvousTimeoutError, match=r"within 0.5 s: .*at least 2 needed"):
        Entry(lonely).result()


def test_who_comes_to_a_run_that_was_closed_is_refused(run):
    a, b = run.node(), run.node()
    enter(a, b)
    a.set_closed()
    assert b._session.wait(b.is_closed, LIMIT_S)
    with pytest.raises(api.RendezvousClosedError):
        Entry(run.node()).result()


def test_leaving_is_no_closing_whatever_torchs_handler_did(run):
    a, b = (run.node(low=1, high=2, last_call_timeout=1) for _ in range(2))
    enter(a, b)
    try:
        raise RuntimeError("the workers failed")
    except RuntimeError:
        assert b.shutdown()
    assert told(a)
    assert enter(a)[0].world_size == 1


def test_a_silent_node_is_lost_and_the_others_are_told(run):
    a, b, c = (run.node(low=2, high=3) for _ in range(3))
    enter(a, b, c)
    c._session.backend.stop()
    assert told(a, b)
    assert [info.world_size for info in enter(a, b)] == [2, 2]


def test_the_oldest_node_leads_and_the_next_one_after_its_loss(run):
    a = run.node(low=2, high=3, last_call_timeout=0.5)
    first = Entry(a)
    until(lambda: a._session.backend.leading)
    b, c = (run.node(low=2, high=3) for _ in range(2))
    enter(b, c)
    first.result()
    assert not b._session.backend.leading
    a._session.backend.stop()
    assert told(b, c)
    assert b._session.backend.leading or c._session.backend.leading


# --- where the workers meet ---


def test_workers_meet_in_the_store_of_their_round_which_is_new_in_every_round(run):
    a, b = run.node(), run.node()
    first, _ = enter(a, b)
    first.store.set("key", "value")
    again = Entry(a)
    assert told(b)
    other, second = enter(b)[0], again.result()
    assert not second.store.check(["key"])
    assert second.bootstrap_store_info == other.bootstrap_store_info
    assert second.bootstrap_store_info != first.bootstrap_store_info


def test_the_agents_share_a_store_that_was_given_and_their_workers_that_of_the_round(run):
    given = HashStore()
    a, b = (run.node(store=given) for _ in range(2))
    first, second = enter(a, b)
    first.store.set("key", "value")
    assert second.store.get("key") == b"value"
    assert given.get(f"torch.rendezvous.run.{a._entered.round.number}/key") == b"value"
    assert first.store.underlying_store == given
    assert first.bootstrap_store_info.master_port == a._session.round.store.port
    again = Entry(a)
    assert told(b)
    enter(b)
    assert not again.result().store.check(["key"])


def test_workers_that_do_not_share_it_agree_on_another_place(run, monkeypatch):
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    a, b = run.node(), run.node()
    first, second = enter(a, b)
    assert not a.use_agent_store
    assert first.bootstrap_store_info == second.bootstrap_store_info
    assert first.bootstrap_store_info.master_addr == "127.0.0.1"
    assert first.bootstrap_store_info.master_port != a._session.round.store.port
    assert first.store.get("MASTER_ADDR") == b"127.0.0.1"


def test_a_peer_lost_before_that_place_is_agreed_upon_costs_no_agent(run, monkeypatch):
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    a, b = (run.node(low=1, high=2, last_call_timeout=1) for _ in range(2))
    monkeypatch.setattr(type(b), "_with_own_address", _with_own_address_unless(b, a))
    waiting, _ = Entry(a), Entry(b)
    until(lambda: b._entered)
    b._session.backend.stop()
    assert waiting.result().world_size == 1


def _with_own_address_unless(lost, other):
    build = type(lost)._with_own_address

    def patched(self, info):
        if self is lost:
            return info
        if info.world_size == 2 and info.rank == 0:
            info.store.wait(["what the lost one would have set"])
        return build(self, info)

    return patched


# --- what is not to be trusted ---


class Harmful:
    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


HOSTILE = {
    "pickle": pickle.dumps(Harmful()),
    "torch's own state": pickle.dumps({"round": 1, "participants": {}}),
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
    "another type": b"[1, 2, 3]",
    "huge": b'{"v":1,"run":"' + b"x" * 20_000_000 + b'"}',
    "deep": b"[" * 1_000_000,
}


@pytest.mark.parametrize("state", HOSTILE.values(), ids=HOSTILE)
def test_a_state_that_is_none_is_an_error_of_state_and_runs_nothing(
    run, state, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run.backend.replace(state)
    with pytest.raises(api.RendezvousStateError, match="the state of run 'run'"):
        Entry(run.node(close_timeout=0.1)).result()
    with pytest.raises(api.RendezvousStateError):
        run.node(close_timeout=0.1).is_closed()
    assert run.backend.get_state()[0] == state
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", [api, torch_rendezvous])
def test_a_backend_says_that_its_state_is_corrupt_in_our_words_or_torchs(run, package, monkeypatch):
    def fail():
        raise package.RendezvousStateError("it is corrupt")

    monkeypatch.setattr(run.backend, "get_state", fail)
    with pytest.raises(api.RendezvousStateError, match="it is corrupt"):
        run.node(close_timeout=0.1).is_closed()


@pytest.mark.parametrize("state", HOSTILE.values(), ids=HOSTILE)
def test_who_works_goes_on_and_stays_a_member_when_the_state_is_set_right(run, state):
    a, b = run.node(), run.node()
    enter(a, b)
    good, _ = run.backend.get_state()
    run.backend.replace(state)
    until(lambda: a._session.fault)
    assert not a.num_nodes_waiting()
    run.backend.replace(good)
    until(lambda: a._session.fault is None)
    until(lambda: b._session.fault is None)
    until(lambda: len([key for key in run.records() if key.startswith("members/")]) == 2)
    assert not a.num_nodes_waiting()
    assert not b.num_nodes_waiting()


def test_a_state_that_was_forgotten_is_brought_back(run):
    a, b = run.node(), run.node()
    enter(a, b)
    port = a._session.round.store.port
    run.backend.empty()
    until(lambda: run.backend.get_state() and len(run.records()) == 5)
    assert json.loads(run.records()["round"][2])["store"]["port"] == port
    assert not a.num_nodes_waiting()
    assert not b.num_nodes_waiting()


@pytest.mark.parametrize("error", [api.RendezvousConnectionError, RuntimeError, TimeoutError])
def test_a_backend_that_fails_is_named_and_can_come_back(run, error):
    run.backend.go_away("nobody answers", error)
    with pytest.raises(api.RendezvousConnectionError, match="nobody answers"):
        Entry(run.node(join_timeout=0.5, close_timeout=0.1)).result()
    waiting = [Entry(run.node()), Entry(run.node())]
    run.backend.come_back()
    assert [entry.result().world_size for entry in waiting] == [2, 2]


def test_a_backend_that_never_answers_stops_nobody(run):
    a, b = (run.node(read_timeout=0.3, heartbeat_timeout=0.3) for _ in range(2))
    enter(a, b)
    run.backend.freeze()
    until(lambda: a._session.fault)
    assert "did not answer within 0.3 s" in str(a._session.fault)
    assert not a.num_nodes_waiting()
    assert not a.is_closed()
    run.backend.thaw()
    until(lambda: a._session.fault is None)


def test_a_write_of_which_nothing_is_known_is_made_again(run):
    """``set_state`` may return None: it has written, or has not."""
    heard = []
    write = run.backend.set_state

    def forgetful(state, token=None):
        answer = write(state, token)
        heard.append(answer)
        return answer if len(heard) % 3 else None

    run.backend.set_state = forgetful
    assert [info.world_size for info in enter(run.node(), run.node())] == [2, 2]


def test_many_nodes_form_a_round(run):
    handlers = [run.node(low=16, high=16) for _ in range(16)]
    assert sorted(info.rank for info in enter(*handlers)) == list(range(16))
