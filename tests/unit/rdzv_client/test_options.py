"""Options are read by name, and refused by name."""

from datetime import timedelta

import pytest

from rdzv_client import k8s, options


def test_what_is_not_given_has_its_default():
    assert options.parse({}) == options.Options()


def test_numbers_may_come_as_text_as_they_do_from_the_command_line():
    assert options.parse({"join_timeout": "12.5", "timeout": 900}).join_timeout == 12.5


def test_a_time_may_come_as_a_timedelta():
    config = {"join_timeout": timedelta(minutes=1), "keep_alive_interval": timedelta(seconds=2)}
    assert (options.parse(config).join_timeout, options.parse(config).lease_ttl) == (60, 6)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"join_timeuot": "5"},
            "unknown rendezvous option join_timeuot='5': did you mean join_timeout[?] known are .*",
        ),
        ({"join_timeout": "soon"}, "join_timeout='soon' must be a number of seconds, more than 0"),
        ({"join_timeout": 0}, "join_timeout=0 must be"),
        ({"join_timeout": "nan"}, "join_timeout='nan' must be"),
        ({"join_timeout": True}, "join_timeout=True must be"),
        ({"lease_ttl": "1"}, "lease_ttl='1' must be a number of seconds, at least 2"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(config, words):
    with pytest.raises(ValueError, match=words):
        options.parse(config)


def test_no_last_call_is_allowed():
    assert options.parse({"last_call_timeout": 0}).timing.last_call_s == 0


@pytest.mark.parametrize(
    ("endpoint", "urls"),
    [
        ("etcd://a:2379", ["http://a:2379"]),
        ("etcds://a:2379;b:2379", ["https://a:2379", "https://b:2379"]),
    ],
)
def test_an_endpoint_names_its_scheme(endpoint, urls):
    assert k8s.etcd_endpoints(endpoint) == urls


@pytest.mark.parametrize("endpoint", ["", "a:2379", "http://a:2379", "etcd://"])
def test_another_endpoint_is_refused(endpoint):
    with pytest.raises(ValueError, match="must be etcd://HOST:PORT"):
        k8s.etcd_endpoints(endpoint)


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_that_no_shell_has_taken_off_are(quote):
    given = {f"{quote}join_timeout": "5", "last_call_timeout": f"1{quote}", "timeout": 900}
    bare = {"join_timeout": "5", "last_call_timeout": "1", "timeout": 900}
    assert options.unquoted(given) == bare
    assert options.unquoted({f"{quote}timeout": f"5{quote}"}) == {"timeout": "5"}
    assert options.unquoted(bare) == bare
    one_alone = {f"{quote}join_timeout": "5"}
    assert options.unquoted(one_alone) == one_alone


def test_an_option_that_nobody_reads_is_refused_with_the_nearest_known():
    given = {"last_cal_timeout": 5, "timeout": 9}
    with pytest.raises(ValueError, match=r"last_cal_timeout=5: did you mean last_call_timeout[?]"):
        options.refuse_unknown(given, ["last_call_timeout", "timeout"])


@pytest.mark.parametrize(
    ("given", "backends", "ours"),
    [
        ({"bucket": "b", "lease_ttl": 3}, None, {"lease_ttl": 3}),
        ({"bucket": "b", "lease_ttl": 3}, {"bucket"}, {"lease_ttl": 3}),
        ({"leese_ttl": 3}, {"leese_ttl"}, {}),
        ({"bukket": "b"}, None, {}),
    ],
)
def test_a_backend_has_options_of_its_own(given, backends, ours):
    assert options.select(given, backends) == ours


@pytest.mark.parametrize(("given", "backends"), [("bukket", {"bucket"}), ("leese_ttl", None)])
def test_what_neither_the_backend_nor_we_have_named_is_refused(given, backends):
    with pytest.raises(ValueError, match="did you mean"):
        options.select({given: 3}, backends)
