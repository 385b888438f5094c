"""Where all is known beforehand, each node gets the rank it was started with."""

import threading

import pytest
from etcd_server import free_ports

from rdzv_client import api
from rdzv_client.static_tcp_rendezvous import StaticTCPRendezvous, create_rdzv_handler

RANK_IS_MISSING = r"^rank is absent in RendezvousParameters.Try add --node-rank to the cmd request$"


def the_parameters(endpoint, max_nodes=1, **options):
    return api.RendezvousParameters("static", endpoint, "run", 1, max_nodes, **options)


@pytest.fixture
def endpoint():
    return f"localhost:{free_ports(1)[0]}"


def test_a_node_gets_its_rank_the_world_and_the_stores_address(endpoint):
    handler = create_rdzv_handler(the_parameters(endpoint, rank=0))
    info = handler.next_rendezvous()
    assert (info.rank, info.world_size) == (0, 1)
    where = info.bootstrap_store_info
    assert f"{where.master_addr}:{where.master_port}" == endpoint
    info.store.set("key", "value")
    assert info.store.get("key") == b"value"


def test_the_round_may_be_asked_for_again_and_has_the_same_store(endpoint):
    handler = create_rdzv_handler(the_parameters(endpoint, rank=0))
    first, again = handler.next_rendezvous(), handler.next_rendezvous()
    assert again.store.underlying_store is first.store.underlying_store
    first.store.set("key", "value")
    assert again.store.check(["key"])


def test_all_nodes_meet_in_the_store_of_rank_0(endpoint):
    infos = {}

    def join(rank):
        handler = create_rdzv_handler(the_parameters(endpoint, 2, rank=rank, timeout=60))
        infos[rank] = handler.next_rendezvous()

    joiners = [threading.Thread(target=join, args=(rank,)) for rank in (1, 0)]
    for joiner in joiners:
        joiner.start()
    for joiner in joiners:
        joiner.join()
    assert {rank: (info.rank, info.world_size) for rank, info in infos.items()} == {
        0: (0, 2),
        1: (1, 2),
    }
    infos[0].store.set("key", "value")
    assert infos[1].store.get("key") == b"value"


def test_keys_stand_under_the_run(endpoint):
    handler = create_rdzv_handler(the_parameters(endpoint, rank=0))
    handler.next_rendezvous().store.set("key", "value")
    assert handler._store.check(["run/key"])


def test_a_store_that_nobody_hosts_is_an_error_that_names_it(endpoint):
    handler = create_rdzv_handler(the_parameters(endpoint, 2, rank=1, timeout=1))
    with pytest.raises(api.RendezvousConnectionError, match=f"cannot be reached at {endpoint}"):
        handler.next_rendezvous()


def test_it_is_never_closed_and_nobody_ever_waits(endpoint):
    handler = create_rdzv_handler(the_parameters(endpoint, rank=0))
    handler.set_closed()
    assert (handler.is_closed(), handler.num_nodes_waiting(), handler.shutdown()) == (
        False,
        0,
        True,
    )
    assert (handler.get_backend(), handler.get_run_id()) == ("static", "run")
    assert handler.use_agent_store is True


@pytest.mark.parametrize(
    ("given", "seconds"), [({}, 600), ({"timeout": 7}, 7), ({"timeout": "8"}, 8)]
)
def test_the_time_out_is_in_seconds(given, seconds):
    handler = create_rdzv_handler(the_parameters("host:1", rank=0, **given))
    assert handler.timeout.total_seconds() == seconds


@pytest.mark.parametrize(
    ("endpoint", "addr", "port"),
    [("host:90", "host", 90), ("[::1]:90", "::1", 90), (" host:90 ", "host", 90)],
)
def test_the_endpoint_is_the_address_of_rank_0(endpoint, addr, port):
    handler = create_rdzv_handler(the_parameters(endpoint, rank=0))
    assert isinstance(handler, StaticTCPRendezvous)
    assert (handler.master_addr, handler.master_port) == (addr, port)


@pytest.mark.parametrize("endpoint", ["", " ", None])
def test_the_endpoint_must_be_given(endpoint):
    with pytest.raises(ValueError, match=r"^endpoint is absent in RendezvousParameters"):
        create_rdzv_handler(the_parameters(endpoint, rank=0))


@pytest.mark.parametrize("endpoint", ["localhost", "[::1]"])
def test_the_port_must_be_given(endpoint):
    with pytest.raises(ValueError, match=r"^Port is absent in endpoint: "):
        create_rdzv_handler(the_parameters(endpoint, rank=0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, RANK_IS_MISSING),
        ({"rank": None}, RANK_IS_MISSING),
        ({"rank": "x"}, "'rank' does not represent a valid integer"),
        ({"rank": 1}, "^rank 1 must be from 0 to 0"),
        ({"rank": -1}, "^rank -1 must be from 0 to 0"),
        ({"rank": 0, "timeout": "soon"}, "'timeout' does not represent a valid integer"),
        ({"rank": 0, "timeout": 0}, "timeout=0 must be positive"),
        ({"rank": 0, "timeout": None}, "timeout=None must be positive"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        create_rdzv_handler(the_parameters("host:1", **options))


def test_the_rank_may_come_as_text_as_it_does_from_the_command_line():
    assert create_rdzv_handler(the_parameters("host:1", rank="0")).rank == 0


def test_an_option_that_nobody_reads_is_refused(endpoint):
    with pytest.raises(ValueError, match=r"timout=60: did you mean timeout[?]"):
        create_rdzv_handler(the_parameters(endpoint, rank=0, timout=60))
