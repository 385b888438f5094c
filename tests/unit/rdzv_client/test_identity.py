"""A member is a process of a pod or, outside Kubernetes, a handler of a process."""

import socket

import pytest

from rdzv_client import identity, wire

POD = {
    "RDZV_POD_UID": "uid",
    "RDZV_POD_NAME": "digits-1-0",
    "RDZV_SLOT": "1",
    "PET_LOCAL_ADDR": "10.0.0.1",
}
BOUNDS = {"min_nodes": 2, "max_nodes": 4}


@pytest.fixture
def no_names(monkeypatch):
    """Names do not resolve; routes are as they are."""
    resolve = socket.getaddrinfo

    def numbers_only(host, *rest, **more):
        if not host.replace(".", "").isdigit():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", numbers_only)


# --- in a pod ---


def test_a_process_is_its_pod_and_a_nonce():
    first, second = (identity.identify(POD, **BOUNDS) for _ in range(2))
    assert (first.uid, first.slot, first.addr) == ("uid", 1, "10.0.0.1")
    assert (first.min_nodes, first.max_nodes) == (2, 4)
    assert first.id != second.id


def test_an_address_that_was_given_counts_more_than_the_pods():
    assert identity.identify(POD, **BOUNDS, local_addr="10.0.0.9").addr == "10.0.0.9"


def test_where_it_runs_is_said_by_the_environment():
    member = identity.identify({**POD, "RDZV_TOPOLOGY": "zone-a/rack-7"}, **BOUNDS)
    assert member.topology == "zone-a/rack-7"


def test_outside_a_pod_the_missing_variable_is_named():
    with pytest.raises(ValueError, match=r"RDZV_POD_UID is not set: .* pods of an ElasticJob"):
        identity.of_pod({}, 2, 4)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("RDZV_POD_NAME", "", "RDZV_POD_NAME is not set"),
        ("PET_LOCAL_ADDR", "", "PET_LOCAL_ADDR is not set"),
        ("PET_LOCAL_ADDR", "10.0.0.1/24", "the local address '10.0.0.1/24' cannot be part"),
        ("RDZV_SLOT", "first", "RDZV_SLOT='first' must be the node's index"),
        ("RDZV_SLOT", "1000000", "RDZV_SLOT='1000000' must be .* from 0 to 999999"),
        ("RDZV_TOPOLOGY", "z" * 1025, "RDZV_TOPOLOGY='z+' must be .* of at most 1024 characters"),
        ("PET_SHUTDOWN_TIMEOUT", "soon", "PET_SHUTDOWN_TIMEOUT='soon' must be a number"),
    ],
)
def test_a_wrong_environment_is_refused_by_name(variable, value, words):
    with pytest.raises(ValueError, match=words):
        identity.identify({**POD, variable: value}, **BOUNDS)


# --- outside Kubernetes ---


def test_handlers_on_one_host_and_in_one_process_are_members_of_their_own():
    first, second = (identity.identify({}, **BOUNDS, endpoint="localhost") for _ in range(2))
    assert first.id != second.id
    assert first.uid == first.id
    assert (first.slot, first.node) == (None, socket.gethostname())
    assert first.name != second.name


def test_slot_and_topology_may_be_options_which_outweigh_the_environment():
    config = {"slot": "4", "topology": "zone-a/rack-7", "lease_ttl": 3}
    environ = {"RDZV_SLOT": "3", "RDZV_TOPOLOGY": "zone-b"}
    member = identity.identify(environ, **BOUNDS, endpoint="localhost", config=config)
    assert (member.slot, member.topology) == (4, "zone-a/rack-7")
    member = identity.identify({**POD, **environ}, **BOUNDS, config=config)
    assert (member.slot, member.topology) == (4, "zone-a/rack-7")


@pytest.mark.parametrize(
    ("environ", "config", "step"),
    [({}, {}, 1), ({"RDZV_STEP": "2"}, {}, 2), ({"RDZV_STEP": "2"}, {"step": 1}, 1)],
)
def test_the_step_is_an_option_or_a_variable(environ, config, step):
    assert identity.identify(environ, **BOUNDS, endpoint="localhost", config=config).step == step


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"slot": -1}, "the rendezvous option slot=-1 must be the node's index, a number from 0"),
        ({"slot": "1.5"}, "the rendezvous option slot='1.5' must be"),
        ({"topology": 7}, "the rendezvous option topology=7 must be the parts"),
        (
            {"step": 0},
            r"step=0 must be a number of which both .* \(2\) and the most \(4\) are mult",
        ),
        (
            {"step": 3},
            r"step=3 must be a number of which both .* \(2\) and the most \(4\) are mult",
        ),
        ({"step": 4}, r"step=4 must be a number"),
        ({"step": "two"}, r"step='two' must be a number"),
        ({"step": "9" * 5000}, r"step='9+' must be a number"),
    ],
)
def test_a_wrong_option_is_refused_by_name(config, words):
    with pytest.raises(ValueError, match=words):
        identity.identify({}, **BOUNDS, endpoint="localhost", config=config)


def test_a_slot_is_taken_only_where_one_is_given():
    assert identity.identify({"RDZV_SLOT": "3"}, **BOUNDS, endpoint="localhost").slot == 3


def test_a_host_name_of_any_kind_can_be_part_of_a_key(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "Büro rechner/" + "x" * 300)
    member = identity.identify({}, **BOUNDS, endpoint="localhost")
    assert wire.Keys("run").member(None, member.id)


@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost",
        "localhost:29400",
        "127.0.0.1:2379",
        "127.0.0.7",
        "[::1]:2379",
        "etcd://127.0.0.1:2379",
        "etcds://localhost:2379;localhost:2380",
        "http://127.0.0.1:2379,127.0.0.1:2380",
    ],
)
def test_an_endpoint_on_this_host_alone_is_reached_by_loopback(endpoint):
    assert identity.address_towards(endpoint) == "127.0.0.1"


@pytest.mark.parametrize("endpoint", ["", "/tmp/rendezvous", "no-such-host:29400", "[::", "a b"])
def test_a_process_has_an_address_whatever_the_endpoint(no_names, endpoint):
    outwards = identity.address_towards("192.0.2.7:80")
    assert identity.address_towards(endpoint) == outwards


def test_an_endpoint_that_names_this_host_gives_no_loopback_address_to_others(monkeypatch):
    """Debian lets a host's own name resolve to 127.0.1.1, where no other host would reach it."""
    monkeypatch.setattr(
        identity,
        "_source_towards",
        lambda host, _port: "127.0.0.1" if host == "me" else "10.0.0.5",
    )
    assert identity.address_towards("me:29400") == "10.0.0.5"
    assert identity.address_towards("other:29400") == "10.0.0.5"


def test_the_own_host_name_is_never_looked_up(monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: asked.append(host) or [])
    monkeypatch.setattr(socket, "getfqdn", lambda *_: pytest.fail("the host name was looked up"))
    identity.identify({}, **BOUNDS, endpoint="store.example:2379")
    assert socket.gethostname() not in asked
