"""A round's store is reached when it is needed, and never waited for beyond the round."""

import json
import select
import socket
from datetime import timedelta

import pytest

from rdzv_client import wire
from rdzv_client.rank_exchange import RankExchange

pytest.importorskip("torch", reason="the training environment is not installed")


@pytest.fixture
def listener():
    """A socket that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def round_store(port, *, is_over=lambda: False, settled=lambda _s: False, finish=lambda: None):
    from rdzv_client.round_store import Connection, RoundStore

    connection = Connection(wire.StoreAddress("127.0.0.1", port), timeout_s=30)
    return RoundStore(connection, 2, is_over, finish, settled)


def has_visitor(listener):
    return bool(select.select([listener], [], [], 0)[0])


def test_nothing_is_connected_before_it_is_needed(listener):
    store = round_store(listener.getsockname()[1])
    store.set_timeout(timedelta(seconds=1))
    assert not has_visitor(listener)


def test_the_exit_barrier_needs_no_connection(listener):
    finished = []
    store = round_store(
        listener.getsockname()[1], finish=lambda: finished.append(1), settled=lambda _s: True
    )
    store.add("torchelastic/agent/terminal_state/num_members", 1)
    store.wait(["torchelastic/agent/terminal_state/last_member"])
    assert finished
    assert not has_visitor(listener)


def test_an_attempt_to_connect_ends_with_the_round(listener):
    from rdzv_client.round_store import RoundOverError

    store = round_store(listener.getsockname()[1], is_over=lambda: has_visitor(listener))
    with pytest.raises(RoundOverError):
        store.check(["key"])


def test_ranks_are_made_up_when_the_round_ends_before_they_are_exchanged(listener):
    store = round_store(
        listener.getsockname()[1],
        is_over=lambda: has_visitor(listener),
        settled=lambda _s: True,
    )
    own = {"role": "trainer", "rank": 1, "local_world_size": 3}
    store.set("torchelastic/role_info/1", json.dumps(own).encode())
    assert json.loads(store.get("torchelastic/assigned_ranks/1")) == [3, 6, 3, 6]


@pytest.mark.parametrize("kind", ["HashStore", "FileStore"])
def test_one_waits_in_a_store_that_was_given_as_long_as_its_round_lasts(kind, tmp_path):
    from torch import distributed

    from rdzv_client.round_store import RoundOverError, RoundStore, Standing

    arguments = [str(tmp_path / "file"), 1] if kind == "FileStore" else []
    given = getattr(distributed, kind)(*arguments)
    over = iter([False, True])
    prefixed = Standing(distributed.PrefixStore("round", given))
    store = RoundStore(prefixed, 2, lambda: next(over), lambda: None, lambda _s: False)
    store.set("key", "value")
    assert given.get("round/key") == b"value"
    assert store.underlying_store is given
    store.set_timeout(timedelta(seconds=1))
    with pytest.raises(RuntimeError, match="timeout"):
        RoundStore(prefixed, 2, lambda: False, lambda: None, lambda _s: False).wait(
            ["never"], timedelta(milliseconds=50)
        )
    with pytest.raises(RoundOverError):
        store.wait(["never"], timedelta(seconds=30))


def test_a_store_that_refuses_is_an_error_that_torch_knows():
    from torch.distributed import DistError

    from rdzv_client.round_store import Connection, RoundStore

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    connection = Connection(wire.StoreAddress("127.0.0.1", port), timeout_s=0.2)
    store = RoundStore(connection, 2, lambda: False, lambda: None, lambda _s: False)
    with pytest.raises(DistError):
        store.check(["key"])


def test_stand_ins_take_all_agents_for_alike():
    exchange = RankExchange(world_size=4)
    exchange.note("torchelastic/role_info/2", b'{"role":"r","rank":2,"local_world_size":8}')
    assert json.loads(exchange.stand_in("torchelastic/role_info/3")) == {
        "role": "r",
        "rank": 3,
        "local_world_size": 8,
    }
    assert json.loads(exchange.stand_in("torchelastic/assigned_ranks/2")) == [16, 32, 16, 32]
