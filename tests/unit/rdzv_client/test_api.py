"""Parameters are checked, handlers are found by name, and errors are torch's errors, too."""

import re
from datetime import timedelta

import pytest
from torch.distributed import HashStore
from torch.distributed.elastic import rendezvous as torch_rendezvous

from rdzv_client import api

ERRORS = [
    "RendezvousError",
    "RendezvousClosedError",
    "RendezvousTimeoutError",
    "RendezvousConnectionError",
    "RendezvousStateError",
    "RendezvousGracefulExitError",
]


class Handler(api.RendezvousHandler):
    """A handler that only has a name, and may fail to end."""

    def __init__(self, params, name="here", ends=True):
        self.params, self.name, self.ends = params, name, ends
        self.has_ended = False

    def get_backend(self):
        return self.name

    def shutdown(self):
        self.has_ended = True
        if not self.ends:
            raise OSError("it does not end")
        return True

    def next_rendezvous(self):
        raise NotImplementedError

    is_closed = set_closed = num_nodes_waiting = get_run_id = next_rendezvous


def the_parameters(**given):
    return api.RendezvousParameters(
        **{"backend": "here", "endpoint": "", "run_id": "", "min_nodes": 1, "max_nodes": 2} | given
    )


# --- parameters ---


def test_parameters_are_kept_as_they_are_given():
    params = api.RendezvousParameters("here", "host:1", "run", 2, 3, "10.0.0.1", a="1", b=2)
    assert vars(params) == {
        "backend": "here",
        "endpoint": "host:1",
        "run_id": "run",
        "min_nodes": 2,
        "max_nodes": 3,
        "local_addr": "10.0.0.1",
        "config": {"a": "1", "b": 2},
    }


def test_the_local_address_may_be_left_out():
    assert the_parameters().local_addr is None


@pytest.mark.parametrize("backend", ["", None])
def test_a_backend_must_have_a_name(backend):
    with pytest.raises(ValueError, match=r"^The rendezvous backend name must be a non-empty"):
        the_parameters(backend=backend)


@pytest.mark.parametrize("least", [0, -1])
def test_a_round_has_at_least_one_node(least):
    words = rf"^The minimum number of rendezvous nodes \({least}\) must be greater than zero.$"
    with pytest.raises(ValueError, match=words):
        the_parameters(min_nodes=least)


def test_the_most_nodes_are_not_fewer_than_the_fewest():
    words = (
        r"^The maximum number of rendezvous nodes \(1\) must be greater than or equal to the "
        r"minimum number of rendezvous nodes \(2\).$"
    )
    with pytest.raises(ValueError, match=words):
        the_parameters(min_nodes=2, max_nodes=1)


@pytest.mark.parametrize("nodes", [1, 5])
def test_fewest_and_most_may_be_the_same(nodes):
    params = the_parameters(min_nodes=nodes, max_nodes=nodes)
    assert (params.min_nodes, params.max_nodes) == (nodes, nodes)


def test_an_option_is_read_as_it_was_given_or_else_by_default():
    params = the_parameters(a="1")
    assert [params.get("a"), params.get("b"), params.get("b", 7)] == ["1", None, 7]


@pytest.mark.parametrize(
    ("values", "truth"),
    [
        (["1", "True", "tRue", "T", "t", "Yes", "Y", 1, True], True),
        (["0", "False", "faLse", "F", "f", "No", "N", 0, False], False),
        ([None], None),
    ],
)
def test_truth_has_many_spellings(values, truth):
    assert [the_parameters(a=value).get_as_bool("a") for value in values] == [truth] * len(values)


@pytest.mark.parametrize("value", ["", "01", "Ture", "2", " 1", 2, -1, 1.0, [], timedelta(1)])
def test_what_is_no_truth_is_refused_by_name(value):
    words = r"^The rendezvous configuration option 'a' does not represent a valid boolean value.$"
    with pytest.raises(ValueError, match=words):
        the_parameters(a=value).get_as_bool("a")


@pytest.mark.parametrize(
    ("value", "number"),
    [("0", 0), ("-10", -10), (" 5 ", 5), (42, 42), (1.9, 1), (True, 1), (None, None)],
)
def test_whole_numbers_may_be_given_as_text(value, number):
    assert the_parameters(a=value).get_as_int("a") == number


@pytest.mark.parametrize("value", ["", "a", "0a", "1.5", [1], timedelta(1), float("inf")])
def test_what_is_no_whole_number_is_refused_by_name_whatever_it_is(value):
    words = r"^The rendezvous configuration option 'a' does not represent a valid integer value.$"
    with pytest.raises(ValueError, match=words):
        the_parameters(a=value).get_as_int("a")


def test_options_not_given_have_the_default_of_their_reader():
    params = the_parameters()
    assert (params.get_as_int("a", 5), params.get_as_bool("a", True)) == (5, True)
    assert (params.get_as_int("a"), params.get_as_bool("a")) == (None, None)


# --- handlers by name ---


@pytest.fixture
def registry():
    return api.RendezvousHandlerRegistry()


def test_a_handler_is_made_from_the_parameters_by_the_creator_of_its_name(registry):
    registry.register("here", Handler)
    registry.register("there", lambda params: Handler(params, "there"))
    params = the_parameters(backend="there")
    handler = registry.create_handler(params)
    assert (handler.name, handler.params) == ("there", params)


def test_an_unknown_name_is_refused(registry):
    words = r"^The rendezvous backend 'here' is not registered. Did you forget to call `register`\?"
    with pytest.raises(ValueError, match=words):
        registry.create_handler(the_parameters())


@pytest.mark.parametrize("name", ["", None])
def test_a_creator_must_have_a_name(registry, name):
    with pytest.raises(ValueError, match=r"^The rendezvous backend name must be a non-empty"):
        registry.register(name, Handler)


def test_a_name_has_one_creator_which_may_be_given_again(registry):
    registry.register("here", Handler)
    registry.register("here", Handler)
    words = (
        f"The rendezvous backend 'here' cannot be registered with '{the_parameters}' as it is "
        f"already registered with '{Handler}'."
    )
    with pytest.raises(ValueError, match=re.escape(words)):
        registry.register("here", the_parameters)
    assert registry.create_handler(the_parameters()).name == "here"


@pytest.mark.parametrize("ends", [True, False])
def test_a_handler_of_another_name_is_refused_and_shut_down(registry, ends):
    handler = Handler(None, "there", ends)
    registry.register("here", lambda _: handler)
    words = r"^The rendezvous backend 'there' does not match the requested backend 'here'.$"
    with pytest.raises(RuntimeError, match=words):
        registry.create_handler(the_parameters())
    assert handler.has_ended


def test_a_handler_serves_torchs_registry_as_well():
    registry = torch_rendezvous.RendezvousHandlerRegistry()
    registry.register("here", Handler)
    handler = registry.create_handler(
        torch_rendezvous.RendezvousParameters("here", "", "run", 1, 1)
    )
    assert isinstance(handler, torch_rendezvous.RendezvousHandler)


@pytest.mark.parametrize("method", sorted(api.RendezvousHandler.__abstractmethods__))
def test_a_handler_must_have_every_method(method):
    def make():
        names = api.RendezvousHandler.__abstractmethods__ - {method}
        return type("Partial", (api.RendezvousHandler,), dict.fromkeys(names, len))()

    with pytest.raises(TypeError, match=method):
        make()


def test_a_handlers_store_is_its_own_unless_it_says_otherwise():
    assert Handler(None).use_agent_store is False


# --- results ---


def test_a_round_is_what_it_was_made_from():
    store, where = HashStore(), api.RendezvousStoreInfo("host", 1)
    info = api.RendezvousInfo(store, 1, 2, where)
    assert (info.store, info.rank, info.world_size) == (store, 1, 2)
    assert info.bootstrap_store_info == api.RendezvousStoreInfo("host", 1)


@pytest.mark.parametrize("field", ["store", "rank", "world_size", "bootstrap_store_info"])
def test_a_round_cannot_be_changed(field):
    with pytest.raises(AttributeError):
        setattr(api.RendezvousInfo(None, 0, 1, None), field, 1)


def test_all_ranks_learn_the_address_that_rank_0_chose():
    store = HashStore()
    told = [
        api.RendezvousStoreInfo.build(0, store, "10.0.0.1", 4000),
        api.RendezvousStoreInfo.build(1, store, "10.0.0.2", 5000),
    ]
    assert told == [api.RendezvousStoreInfo("10.0.0.1", 4000)] * 2
    assert (store.get("MASTER_ADDR"), store.get("MASTER_PORT")) == (b"10.0.0.1", b"4000")


def test_rank_0_takes_its_hosts_name_and_a_free_port_if_it_has_none(monkeypatch):
    monkeypatch.setattr("socket.getfqdn", lambda: "host.example")
    info = api.RendezvousStoreInfo.build(0, HashStore(), None, 0)
    assert info.master_addr == "host.example"
    assert 0 < info.master_port < 2**16


@pytest.mark.parametrize(("addr", "port"), [(b"host", b"x"), (b"host", b""), (b"\xff", b"1")])
def test_an_address_that_is_none_is_refused(addr, port):
    store = HashStore()
    store.set("MASTER_ADDR", addr)
    store.set("MASTER_PORT", port)
    with pytest.raises(api.RendezvousStateError, match="which are no host and port"):
        api.RendezvousStoreInfo.build(1, store, None)


# --- errors ---


@pytest.mark.parametrize("name", ERRORS)
def test_each_error_is_torchs_error_of_its_name_and_one_of_ours(name):
    error = getattr(api, name)
    assert issubclass(error, getattr(torch_rendezvous, name))
    assert issubclass(error, api.RendezvousError)
    assert error is not getattr(torch_rendezvous, name)
    assert str(error("why")) == "why"


@pytest.mark.parametrize("name", ERRORS[1:])
def test_no_error_is_one_of_another_kind(name):
    error = getattr(api, name)
    others = [getattr(torch_rendezvous, other) for other in ERRORS[1:] if other != name]
    assert not issubclass(error, tuple(others))
