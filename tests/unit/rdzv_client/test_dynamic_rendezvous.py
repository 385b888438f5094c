"""A handler is made over any backend: with torch's arguments and words, and options by name."""

import gc
import socket
import weakref
from datetime import timedelta

import pytest
from rounds import until

pytest.importorskip("torch", reason="the training environment is not installed")

from rdzv_client import api, dynamic_rendezvous, identity, wire
from rdzv_client.backends.memory import MemoryBackend
from rdzv_client.dynamic_rendezvous import (
    DynamicRendezvousHandler,
    RendezvousBackend,
    RendezvousTimeout,
    create_handler,
)


class Untouched(RendezvousBackend):
    """A backend that must not be asked for anything."""

    @property
    def name(self):
        return "untouched"

    def get_state(self):
        raise NotImplementedError

    def set_state(self, state, token=None):
        raise NotImplementedError


def made(backend=None, **config):
    """Return a handler made from parameters, as torchrun would have it made."""
    given = {"backend": "untouched", "endpoint": "localhost", "run_id": "run", **config}
    bounds = {"min_nodes": 2, "max_nodes": 4}
    return create_handler(
        None, backend or Untouched(), api.RendezvousParameters(**{**bounds, **given})
    )


def from_backend(**arguments):
    given = {"run_id": "run", "min_nodes": 2, "max_nodes": 4, "local_addr": "127.0.0.1"}
    return DynamicRendezvousHandler.from_backend(
        store=None, backend=Untouched(), **{**given, **arguments}
    )


# --- time-outs ---


def test_timeouts_have_torchs_defaults():
    timeout = RendezvousTimeout()
    seconds = [t.total_seconds() for t in (timeout.join, timeout.last_call, timeout.close)]
    assert seconds == [600, 30, 30]
    assert timeout.heartbeat == timedelta(seconds=5)


def test_timeouts_are_those_that_were_given():
    given = [timedelta(seconds=s) for s in (50, 60, 70, 80)]
    timeout = RendezvousTimeout(*given)
    assert [timeout.join, timeout.last_call, timeout.close, timeout.heartbeat] == given


@pytest.mark.parametrize("name", ["join", "last_call", "close", "heartbeat"])
@pytest.mark.parametrize(("seconds", "words"), [(0, "0:00:00"), (-1, "-1 day, 23:59:59")])
def test_a_timeout_that_is_not_positive_is_refused_in_torchs_words(name, seconds, words):
    with pytest.raises(ValueError, match=rf"^The {name} timeout \({words}\) must be positive.$"):
        RendezvousTimeout(**{name: timedelta(seconds=seconds)})


# --- making a handler ---


def test_a_handler_is_made_without_asking_the_backend():
    handler = made()
    assert (handler.get_backend(), handler.get_run_id()) == ("untouched", "run")
    assert isinstance(handler, api.RendezvousHandler)


def test_a_handler_shows_what_it_was_made_with():
    handler = made(join_timeout="50", last_call_timeout="60", close_timeout="70")
    settings = handler.settings
    assert (settings.run_id, settings.min_nodes, settings.max_nodes) == ("run", 2, 4)
    timeout = settings.timeout
    seconds = [t.total_seconds() for t in (timeout.join, timeout.last_call, timeout.close)]
    assert seconds == [50, 60, 70]
    assert (settings.keep_alive_interval, settings.keep_alive_max_attempt) == (
        timedelta(seconds=5),
        3,
    )
    assert settings.cas_backoff_max_seconds == 0.0


def test_the_timeout_that_was_given_is_kept():
    timeout = RendezvousTimeout()
    assert from_backend(timeout=timeout).settings.timeout is timeout


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"run_id": ""}, "^The run id must be a non-empty string.$"),
        (
            {"min_nodes": 0},
            r"^The minimum number of nodes \(0\) must be greater than zero.$",
        ),
        (
            {"max_nodes": 1},
            (
                r"^The maximum number of nodes \(1\) must be greater than or equal to the "
                r"minimum number of nodes \(2\).$"
            ),
        ),
        (
            {"cas_backoff_max_seconds": float("inf")},
            r"^cas_backoff_max_seconds \(inf\) must be finite and non-negative.$",
        ),
        ({"cas_backoff_max_seconds": -1.0}, r"\(-1.0\) must be finite and non-negative.$"),
        ({"keep_alive_interval": 0}, "keep_alive_interval=0 must be .* more than 0"),
        ({"keep_alive_max_attempt": 0}, "keep_alive_max_attempt=0 must be a number, at least 1"),
        ({"admision_window": 1}, "unknown .* admision_window=1: did you mean admission_window"),
        ({"local_addr": "a b"}, "the local address 'a b' cannot be part of a key"),
    ],
)
def test_a_wrong_argument_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        from_backend(**wrong)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"join_timeout": 0}, r"^The join timeout \(0:00:00\) must be positive.$"),
        ({"join_timeout": "soon"}, "join_timeout='soon' must be a number of seconds"),
        (
            {"cas_backoff_max_seconds": "soon"},
            r"^cas_backoff_max_seconds\('soon'\) is not a valid float value.$",
        ),
        ({"cas_backoff_max_seconds": "nan"}, r"\(nan\) must be finite and non-negative.$"),
        ({"keep_alive_max_attempt": "x"}, "keep_alive_max_attempt='x' must be a number"),
        ({"lease_ttl": "1"}, "lease_ttl='1' must be a number of seconds, at least 2"),
    ],
)
def test_a_wrong_option_is_refused_by_name(config, words):
    with pytest.raises(ValueError, match=words):
        made(**config)


def test_options_of_a_backend_that_is_not_ours_are_left_to_it():
    made(bucket="here", is_host="false", timeout=900)


def test_an_option_that_looks_misspelt_is_refused():
    with pytest.raises(ValueError, match=r"join_timeuot='5': did you mean join_timeout[?]"):
        made(join_timeuot="5")


def test_a_backend_that_names_its_options_is_given_no_others():
    class Named(Untouched):
        options = frozenset({"bucket"})

    made(Named(), bucket="here")
    with pytest.raises(ValueError, match=r"bukket='here': did you mean bucket[?]"):
        made(Named(), bukket="here")


def test_the_bounds_of_the_record_are_those_that_were_given():
    record = from_backend(min_nodes=3, max_nodes=7)._session.record
    assert (record.min_nodes, record.max_nodes, record.addr) == (3, 7, "127.0.0.1")


def test_a_failure_is_recorded_as_an_event(monkeypatch):
    recorded = []
    monkeypatch.setattr(
        dynamic_rendezvous, "construct_and_record_rdzv_event", lambda **e: recorded.append(e)
    )
    with pytest.raises(ValueError, match="must be positive"):
        made(join_timeout=-5)
    assert "must be positive" in recorded[0]["message"]


# --- what the options come to ---


def test_all_options_reach_the_handler():
    options = made(
        join_timeout="50",
        last_call_timeout=0.5,
        close_timeout=7,
        heartbeat_timeout=3,
        admission_window=0,
        poll_interval=0.1,
        read_timeout="60",
        cas_backoff_max_seconds="0.25",
    )._options
    assert (options.join_timeout, options.last_call_timeout, options.close_timeout) == (50, 0.5, 7)
    assert (options.heartbeat_timeout, options.admission_window) == (3, 0)
    assert (options.poll_interval, options.read_timeout) == (0.1, 60)
    assert options.cas_backoff_max_seconds == 0.25


@pytest.mark.parametrize(
    ("config", "lease_s"),
    [
        ({}, 5),
        ({"keep_alive_interval": "2"}, 6),
        ({"keep_alive_interval": timedelta(seconds=2)}, 6),
        ({"keep_alive_interval": 5, "keep_alive_max_attempt": 3}, 15),
        ({"keep_alive_interval": 1, "keep_alive_max_attempt": 1}, 2),
        ({"keep_alive_interval": 1, "lease_ttl": 9}, 9),
        ({"keep_alive_interval": None}, 5),
    ],
)
def test_how_long_a_silent_node_lives_may_be_said_in_torchs_way(config, lease_s):
    assert made(**config)._options.lease_ttl == lease_s


def test_arguments_as_they_are_by_default_leave_the_lease_as_it_is():
    assert from_backend()._options.lease_ttl == 5
    assert from_backend(keep_alive_interval=2)._options.lease_ttl == 6
    assert from_backend(keep_alive_interval=2, lease_ttl=4)._options.lease_ttl == 4


# --- which way to the store ---


def test_a_backend_that_offers_more_is_used_the_better_way():
    class Native(Untouched):
        keys = wire.Keys("run", root="/elsewhere")

        def open_member(self, record, options):
            self.opened = record, options
            return self

    backend = Native()
    session = made(backend)._session
    assert session.backend is backend
    assert backend.opened[0] == session.record
    assert session._replica.keys.root == "/elsewhere"


def test_any_other_backend_is_used_by_its_one_value():
    assert made(MemoryBackend())._session.backend.read_round() is None


def test_whether_the_store_is_shared_is_for_the_environment_to_say(monkeypatch):
    handler = made()
    assert handler.use_agent_store
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    assert not handler.use_agent_store


# --- nodes ---


def test_a_node_is_named_by_address_process_and_handler():
    node = dynamic_rendezvous._NodeDesc("host", 3, 5)
    assert repr(node) == "host_3_5"
    assert node < dynamic_rendezvous._NodeDesc("host", 3, 6)
    assert len({node, dynamic_rendezvous._NodeDesc("host", 3, 5)}) == 1


def test_handlers_of_one_process_are_numbered():
    first, second = from_backend()._this_node, from_backend()._this_node
    assert second.local_id == first.local_id + 1
    assert (first.addr, first.pid) == (second.addr, second.pid)


def test_an_endpoint_that_does_not_resolve_is_no_matter_for_who_makes_a_handler(monkeypatch):
    monkeypatch.setattr(identity, "_source_towards", lambda *_: None)
    assert made(endpoint="no-such-host:1")._session.record.addr == "127.0.0.1"


# --- a handler that has left ---


def test_a_handler_that_has_left_is_kept_by_nobody_nor_is_the_store_it_hosted():
    gone, address = used()
    until(lambda: gc.collect() is None or gone() is None)  # its threads are ending
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.master_addr, address.master_port), timeout=5)


def used():
    handler = made(MemoryBackend(), min_nodes=1, max_nodes=1, local_addr="127.0.0.1")
    info = handler.next_rendezvous()
    handler.shutdown()
    return weakref.ref(handler), info.bootstrap_store_info


def left_after_a_time_out():
    handler = made(MemoryBackend(), join_timeout=0.1)
    with pytest.raises(api.RendezvousTimeoutError):
        handler.next_rendezvous()
    return handler


def left_before_it_came():
    handler = made(MemoryBackend())
    assert handler.shutdown()
    return handler


@pytest.mark.parametrize("leave", [left_after_a_time_out, left_before_it_came])
def test_a_handler_that_has_left_says_so_at_once(leave, caplog):
    handler = leave()
    with pytest.raises(api.RendezvousClosedError, match=r"has left run run \(.*make a new handler"):
        handler.next_rendezvous()
    handler.set_closed()
    assert "not closed by who has left it" in caplog.text
    assert handler.shutdown()
