"""Endpoints and options are read, this machine is recognised, and timers end with their owners."""

import gc
import socket
import threading
import time
from datetime import timedelta
from itertools import pairwise
from unittest.mock import call

import pytest

from rdzv_client import utils

# --- what users write ---


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("", {}),
        ("  ", {}),
        ("a=1", {"a": "1"}),
        (" a = 1 , b = x y ", {"a": "1", "b": "x y"}),
        ("a=b=c,d==", {"a": "b=c", "d": "="}),
        ("a=1,a=2", {"a": "2"}),
    ],
)
def test_options_are_pairs_with_commas_between(text, config):
    assert utils._parse_rendezvous_config(text) == config


@pytest.mark.parametrize("text", ["=1", "a=1,=2", ",a=1", "a=1,", ","])
def test_an_option_must_have_a_name(text):
    words = (
        r"^The rendezvous configuration string must be in format <key1>=<value1>,...,"
        r"<keyN>=<valueN>.$"
    )
    with pytest.raises(ValueError, match=words):
        utils._parse_rendezvous_config(text)


@pytest.mark.parametrize("text", ["a=", "a", "b=1,a= ,c=1", " a "])
def test_an_option_must_have_a_value(text):
    words = r"^The rendezvous configuration option 'a' must have a value specified.$"
    with pytest.raises(ValueError, match=words):
        utils._parse_rendezvous_config(text)


@pytest.mark.parametrize(
    ("text", "port"),
    [("0", 0), ("80", 80), ("99999", 99999)]
    + [(text, None) for text in ("", "a", "0a", " 1", "1\n", "-1", "1.0", "123456")],
)
def test_a_port_is_one_to_five_digits(text, port):
    assert utils._try_parse_port(text) == port


@pytest.mark.parametrize("host", ["dummy.com", "dummy-1.com", "under_score", "123.123.123.123"])
@pytest.mark.parametrize("port", [0, 123, 65535])
def test_an_endpoint_is_a_host_and_a_port(host, port):
    assert utils.parse_rendezvous_endpoint(f"{host}:{port}", 29400) == (host, port)


@pytest.mark.parametrize(
    ("endpoint", "host", "port"),
    [
        (None, "localhost", 29400),
        ("", "localhost", 29400),
        ("\t ", "localhost", 29400),
        ("dummy.com", "dummy.com", 29400),
        (" dummy.com ", "dummy.com", 29400),
        ("[2001:db8::1]", "2001:db8::1", 29400),
        ("[2001:db8::1]:0", "2001:db8::1", 0),
        ("[::1]:65535", "::1", 65535),
        ("2001:db8::1", "2001:db8::1", 29400),
        ("2001:db8:0:0:0:0:0:1", "2001:db8:0:0:0:0:0:1", 29400),
        ("fe80::abc:def", "fe80::abc:def", 29400),
        ("::1:29500", "::1", 29500),
    ],
)
def test_the_port_has_a_default_and_ipv6_may_do_without_brackets(endpoint, host, port):
    assert utils.parse_rendezvous_endpoint(endpoint, 29400) == (host, port)


def test_an_ipv6_address_that_may_end_in_a_port_is_refused():
    words = r"write '\[2001:db8::1:2940\]' or '\[2001:db8::1\]:2940'"
    with pytest.raises(ValueError, match=words):
        utils.parse_rendezvous_endpoint("2001:db8::1:2940", 29400)


@pytest.mark.parametrize("endpoint", ["~", "dummy.com :123", "~:123", ":123", "[]", "[::1", "a/b"])
def test_a_host_that_is_none_is_refused(endpoint):
    words = (
        "must be a dot-separated list of labels, an IPv4 address, or an IPv6 address.$"
        "|must be an integer between 0 and 65536.$"
    )
    with pytest.raises(ValueError, match=words):
        utils.parse_rendezvous_endpoint(endpoint, 29400)


@pytest.mark.parametrize("port", ["", "a", "-1", "12a", "65536", "70000", "123456", " 1"])
def test_a_port_that_is_none_is_refused(port):
    words = (
        rf"^The port number of the rendezvous endpoint 'dummy.com:{port}' must be an integer "
        r"between 0 and 65536.$"
    )
    with pytest.raises(ValueError, match=words):
        utils.parse_rendezvous_endpoint(f"dummy.com:{port}", 29400)


# --- which machine this is ---


def resolved(canonical_name, *addresses):
    return [(None, None, 0, canonical_name, (address, 0)) for address in addresses]


@pytest.fixture
def look_up(monkeypatch):
    """Let names resolve as a table says, and this machine be called ``me``; list what is asked."""
    asked = []

    def use(**table):
        def getaddrinfo(host, *_args, **_kwargs):
            asked.append(host)
            found = table.get(host, socket.gaierror(-2, "Name or service not known"))
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(socket, "gethostname", lambda: "me")
        return asked

    return use


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "0:0:0:0:0:0:0:1"])
def test_loopback_is_this_machine_without_a_look_up(look_up, host):
    asked = look_up()
    assert utils._matches_machine_hostname(host)
    assert asked == []


def test_its_own_name_is_this_machine_even_if_it_does_not_resolve(look_up):
    look_up()
    assert utils._matches_machine_hostname("me")


def test_the_machine_is_known_by_its_real_name_and_its_full_one_and_its_addresses():
    names = [socket.gethostname(), socket.getfqdn()]
    found = socket.getaddrinfo(socket.gethostname(), None, proto=socket.IPPROTO_TCP)
    names += [info[4][0] for info in found]
    assert all(map(utils._matches_machine_hostname, names))


@pytest.mark.parametrize(
    ("host", "of_host", "of_me", "same"),
    [
        ("me.example", [], resolved("me.example", "10.0.0.1"), True),
        ("10.0.0.1", [], resolved("me.example", "10.0.0.9", "10.0.0.1"), True),
        ("2001:DB8::0:1", [], resolved("", "2001:db8::1"), True),
        ("a", resolved("a", "10.0.0.1"), resolved("b", "10.0.0.1"), True),
        ("a", resolved("a", "10.0.0.3", "10.0.0.1"), resolved("b", "10.0.0.2", "10.0.0.1"), True),
        ("a", resolved("a", "10.0.0.1"), resolved("b", "10.0.0.2"), False),
        ("10.0.0.1", [], resolved("b", "10.0.0.2"), False),
        ("a", [], [], False),
    ],
)
def test_a_host_is_this_machine_if_name_or_addresses_agree(look_up, host, of_host, of_me, same):
    asked = look_up(**{host: of_host, "me": of_me})
    assert utils._matches_machine_hostname(host) is same
    assert asked == [host, "me"]


@pytest.mark.parametrize("error", [socket.gaierror(-3, "no server"), UnicodeError("label")])
def test_names_that_do_not_resolve_are_no_error(look_up, error):
    look_up(a=error, me=error)
    assert not utils._matches_machine_hostname("a")


# --- time ---


@pytest.fixture
def slept(monkeypatch):
    slept = []
    monkeypatch.setattr("rdzv_client.utils.time.sleep", slept.append)
    return slept


def test_a_delay_is_as_long_as_it_says(slept):
    utils._delay(0.2)
    assert slept == [0.2]


def test_a_delay_between_bounds_is_random(slept):
    for _ in range(20):
        utils._delay((0.2, 0.4))
    assert all(0.2 <= seconds <= 0.4 for seconds in slept)
    assert len(set(slept)) > 1


@pytest.mark.parametrize("seconds", [0, 0.009, (0, 0.009)])
def test_a_delay_too_short_to_matter_is_none(slept, seconds):
    utils._delay(seconds)
    assert slept == []


@pytest.fixture
def start():
    """Start timers, stopped at the end."""
    timers = []

    def make(function, *args, interval_s=0.02, name=None, **kwargs):
        timer = utils._PeriodicTimer(timedelta(seconds=interval_s), function, *args, **kwargs)
        if name:
            timer.set_name(name)
        timer.start()
        timers.append(timer)
        return timer

    yield make
    for timer in timers:
        timer.cancel()


def threads():
    return [thread.name for thread in threading.enumerate()]


def test_a_timer_calls_again_and_again_with_its_arguments(start):
    calls, enough = [], threading.Event()

    def note(*args, **kwargs):
        calls.append(call(*args, **kwargs))
        if len(calls) == 3:
            enough.set()

    start(note, 1, a=2)
    assert enough.wait(30)
    assert calls[:3] == [call(1, a=2)] * 3


def test_an_interval_lies_before_the_first_call_and_between_any_two(start):
    times, enough = [time.monotonic()], threading.Event()

    def note():
        times.append(time.monotonic())
        if len(times) > 3:
            enough.set()

    start(note, interval_s=0.05)
    assert enough.wait(30)
    assert min(later - sooner for sooner, later in pairwise(times)) >= 0.049


def test_a_call_that_fails_does_not_end_the_timer(start, caplog):
    calls, again = [], threading.Event()

    def fail():
        calls.append(1)
        if len(calls) > 1:
            again.set()
        raise OSError("not this time")

    timer = start(fail)
    assert again.wait(30)
    timer.cancel()
    assert "not this time" in caplog.text


def test_a_timer_starts_once(start):
    timer = start(len, interval_s=60)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^The timer has already started.$"):
            timer.start()
    timer.cancel()
    with pytest.raises(RuntimeError, match=r"^The timer has already started.$"):
        timer.start()


def test_a_timer_cancelled_often_is_cancelled_and_its_thread_gone(start):
    timer = start(len, interval_s=60, name="cancelled")
    assert "cancelled" in threads()
    for _ in range(3):
        timer.cancel()
    assert "cancelled" not in threads()


def test_a_timer_that_was_not_started_may_be_cancelled():
    utils._PeriodicTimer(timedelta(seconds=60), len).cancel()


def test_a_timer_may_cancel_itself(start):
    timers, done = [], threading.Event()

    def end():
        timers[0].cancel()
        done.set()

    timers.append(start(end))
    assert done.wait(30)


def test_a_timer_let_go_ends_its_thread():
    timer = utils._PeriodicTimer(timedelta(seconds=60), len)
    timer.set_name("let go")
    timer.start()
    assert "let go" in threads()
    del timer
    gc.collect()
    assert "let go" not in threads()


def test_the_name_is_the_threads_and_is_given_before_the_start(start):
    timer = start(len, interval_s=60)
    assert timer.name is None
    assert "PeriodicTimer" in threads()
    with pytest.raises(RuntimeError, match=r"^The timer has already started.$"):
        timer.set_name("too late")
    assert start(len, interval_s=60, name="named").name == "named"
