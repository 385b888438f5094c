"""torch's oldest etcd rendezvous, by its names and as documented, over the protocol."""

import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from rounds import LIMIT_S, Entry, enter, told

from rdzv_client import api, wire

torch = pytest.importorskip("torch", reason="the training environment is not installed")

_numbers = itertools.count(1)


@pytest.fixture
def make(shared_etcd):
    """Make handlers of one run from parameters; they leave at the end."""
    handlers = []
    run_id = uuid.uuid4().hex

    def make(low=2, high=2, **config):
        from rdzv_client.etcd_rendezvous import create_rdzv_handler

        chosen = {"endpoint": f"127.0.0.1:{shared_etcd.port}", "run_id": run_id, **config}
        handlers.append(
            create_rdzv_handler(
                api.RendezvousParameters(backend="etcd", min_nodes=low, max_nodes=high, **chosen)
            )
        )
        return handlers[-1]

    yield make
    for handler in handlers:
        handler.shutdown()


def test_the_fewest_parameters_make_a_handler(make):
    handler = make(run_id="run")
    assert handler.get_backend() == "etcd"
    assert handler.get_run_id() == "run"
    assert handler.use_agent_store is False
    assert handler.is_closed() is False
    assert handler.num_nodes_waiting() == 0


def test_the_registry_knows_it(shared_etcd):
    from rdzv_client.registry import get_rendezvous_handler

    endpoint = f"127.0.0.1:{shared_etcd.port}"
    params = api.RendezvousParameters("etcd", endpoint, uuid.uuid4().hex, 1, 1, "127.0.0.1")
    handler = get_rendezvous_handler(params)
    assert handler.next_rendezvous().world_size == 1
    assert handler.shutdown()


def test_a_handler_over_a_run_made_by_hand_forms_a_round(connect_either, shared_etcd):
    from rdzv_client.etcd_rendezvous import EtcdRendezvous, EtcdRendezvousHandler

    client = connect_either(shared_etcd)
    run = EtcdRendezvous(
        client=client,
        prefix=f"test-{next(_numbers)}",
        run_id=1,
        num_min_workers=1,
        num_max_workers=1,
        timeout=60,
        last_call_timeout=30,
    )
    handler = EtcdRendezvousHandler(run)
    info = handler.next_rendezvous()
    assert (info.rank, info.world_size, handler.get_run_id()) == (0, 1, "1")
    assert info.bootstrap_store_info.master_addr == "127.0.0.1"
    assert handler.shutdown()


# --- the run by itself, without a handler ---


@pytest.fixture
def join(connect_either, shared_etcd):
    """Make further nodes' views of one run; they leave at the end."""
    runs = []
    prefix = f"test-{next(_numbers)}"

    def join(least=2, most=2, timeout=60):
        from rdzv_client.etcd_rendezvous import EtcdRendezvous

        client = connect_either(shared_etcd)
        runs.append(EtcdRendezvous(client, prefix, "run", least, most, timeout, 30))
        return runs[-1]

    yield join
    for run in runs:
        run._node.shutdown()


def in_threads(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [each.result(LIMIT_S) for each in [pool.submit(call) for call in calls]]


def test_nodes_without_handlers_meet_at_the_barrier_round_after_round(join):
    a, b = join(), join()
    (number, *first), (same, *second) = in_threads(a.rendezvous_barrier, b.rendezvous_barrier)
    assert number == same
    assert sorted([first, second]) == [[0, 2], [1, 2]]
    a.setup_kv_store(number).set("key", "value")
    assert b.setup_kv_store(number).get("key") == b"value"
    again = in_threads(a.rendezvous_barrier, b.rendezvous_barrier)
    assert [each[0] > number for each in again] == [True, True]


def test_who_does_by_hand_what_a_handler_does_meets_a_handler(join):
    from rdzv_client.etcd_rendezvous import EtcdRendezvousHandler

    def by_hand():
        number, rank, _ = run.rendezvous_barrier()
        return api.RendezvousStoreInfo.build(rank, run.setup_kv_store(number), "127.0.0.1")

    run, handler = join(), EtcdRendezvousHandler(join(), "127.0.0.1")
    where, info = in_threads(by_hand, handler.next_rendezvous)
    assert info.bootstrap_store_info == where
    assert handler.shutdown()


def test_a_run_that_is_set_closed_refuses_who_comes(join):
    run = join(1, 2)
    run.set_closed()
    with pytest.raises(api.RendezvousClosedError):
        join(1, 2).rendezvous_barrier()


def test_what_is_kept_of_a_round_reaches_who_waits_for_it(join):
    a, b = join(), join()
    load, _ = in_threads(
        lambda: b.load_extra_data(1, "lr"), lambda: a.store_extra_data(1, "lr", {"rate": [0.5]})
    )
    assert load == {"rate": [0.5]}
    b.store_extra_data(1, "more", None)
    assert a.load_extra_data(1, "more") is None
    assert a.load_extra_data(1, "lr") == load
    with pytest.raises(api.RendezvousTimeoutError, match="still no key lr"):
        a.load_extra_data(2, "lr", timeout=0.1)


@pytest.mark.parametrize(
    "value", [b"no JSON", b"[" * 100_000, b"\xff"], ids=["word", "deep", "byte"]
)
def test_what_is_kept_is_not_trusted(join, value):
    run = join()
    run.client.put(run.get_path("/rdzv/v_1/extra_data/key"), value)
    with pytest.raises(api.RendezvousStateError, match=r"extra_data/key is no JSON"):
        run.load_extra_data(1, "key")


def test_what_is_kept_stands_under_the_runs_lease_and_its_path(join):
    run = join()
    run.store_extra_data(1, "key", 1)
    run.setup_kv_store(1).set("key", "value")
    for name in ("extra_data", "kv"):
        assert run.client.get(run.get_path(f"/rdzv/v_1/{name}/key")).lease
    assert run.get_path("rdzv").endswith("/run_run/rdzv")


def test_an_etcd_that_is_away_is_an_error_of_connection(connect, dead_url):
    from rdzv_client.etcd_rendezvous import EtcdRendezvous

    run = EtcdRendezvous(connect(dead_url, request_timeout_s=1), "test", "run", 1, 1, 60, 30)
    for call in (lambda: run.store_extra_data(1, "key", 1), lambda: run.load_extra_data(1, "key")):
        with pytest.raises(api.RendezvousConnectionError, match="store test/run_run/rdzv/v_1"):
            call()


# --- what handlers share ---


def test_the_nodes_of_a_round_share_a_store_in_etcd_and_rank_0s_address(make):
    from rdzv_client.etcd_store import EtcdStore

    first, second = enter(make(), make())
    assert {first.rank, second.rank} == {0, 1}
    assert isinstance(first.store, EtcdStore)
    assert isinstance(first.store, torch.distributed.Store)
    first.store.set("key", b"\x00value")
    assert second.store.get("key") == b"\x00value"
    assert first.store.add("sum", 2) + second.store.add("sum", 1) == 5
    assert first.bootstrap_store_info == second.bootstrap_store_info


def test_each_round_has_a_store_of_its_own(make):
    a, b = make(), make()
    first, _ = enter(a, b)
    first.store.set("key", "value")
    again = Entry(a)
    assert told(b)
    assert not enter(b)[0].store.check(["key"])
    again.result()


def test_whoever_waits_for_a_lost_node_waits_no_longer_than_the_round(make):
    a, b = make(), make()
    info, _ = enter(a, b)
    info.store.set_timeout(timedelta(seconds=LIMIT_S))
    b._leave("signal", "it was told to stop")
    with pytest.raises(torch.distributed.DistStoreError, match="the round ended"):
        info.store.wait(["of b"])


def test_last_call_ends_with_fewer_than_the_most(make):
    infos = enter(*[make(2, 4, last_call_timeout=1) for _ in "ab"])
    assert {info.world_size for info in infos} == {2}


def test_a_newcomer_is_admitted_and_the_others_are_told(make):
    a, b = make(1, 3, last_call_timeout=1), make(1, 3, last_call_timeout=1)
    enter(a, b)
    newcomer = Entry(make(1, 3, last_call_timeout=1))
    assert told(a, b)
    assert {info.world_size for info in [*enter(a, b), newcomer.result()]} == {3}


def test_nobody_coming_ends_in_a_timeout(make):
    with pytest.raises(api.RendezvousTimeoutError):
        make(timeout=1).next_rendezvous()


def test_a_closed_run_refuses_who_comes(make):
    a, b = make(), make()
    enter(a, b)
    a.set_closed()
    assert a.is_closed()
    late = make()
    assert late.is_closed()
    with pytest.raises(api.RendezvousClosedError):
        late.next_rendezvous()


def test_all_keys_stand_under_the_prefix_and_the_runs_lease(make, shared_etcd, connect):
    client = connect(shared_etcd.url)
    prefix = f"/mine-{next(_numbers)}"
    infos = enter(*[make(etcd_prefix=prefix) for _ in "ab"])
    infos[0].store.set("key", "value")
    keys = {kv.key: kv.lease for kv in client.get_prefix(prefix).kvs}
    rounds = [key for key in keys if key.endswith(("/round", "/kv/key"))]
    assert len(rounds) == 2
    assert len({keys[key] for key in rounds}) == 1
    assert 0 not in keys.values()


def test_a_run_id_may_hold_anything(make):
    infos = enter(*[make(run_id="a/b c,é?") for _ in "ab"])
    assert {info.world_size for info in infos} == {2}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"timeout": "soon"}, "'timeout' does not represent a valid integer"),
        ({"timeout": 0}, "timeout=0 must be more than 0"),
        ({"last_call_timeout": -1}, "last_call_timeout=-1 at least 0"),
        ({"protocol": "ftp"}, "protocol must be HTTP or HTTPS"),
        ({"cacert": "/no/file"}, "option cacert='/no/file' must be a file"),
        ({"run_id": ""}, "run id"),
    ],
)
def test_a_wrong_option_is_refused_by_name(make, config, words):
    with pytest.raises(ValueError, match=words):
        make(**config)


def test_an_etcd_that_cannot_be_reached_is_an_error_of_connection(make, dead_url):
    with pytest.raises(api.RendezvousConnectionError, match=r"^The connection to etcd has failed"):
        make(endpoint=dead_url, read_timeout=1)


def test_bounds_that_make_no_sense_are_refused(connect, shared_etcd):
    from rdzv_client.etcd_rendezvous import EtcdRendezvous

    with pytest.raises(ValueError, match="num_min_workers=3 must be at least 1 and at most"):
        EtcdRendezvous(connect(shared_etcd.url), "test", "run", 3, 2, 60, 30)


def test_the_run_ids_limits_are_those_of_keys():
    with pytest.raises(wire.WireError):
        wire.Keys("x" * 300)
