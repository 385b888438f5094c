"""Documents come back as they were written; whatever else stands in the store is refused."""

import json

import pytest

from rdzv_client import wire

KEYS = wire.Keys("job-0")
MEMBER = wire.Member("pod.1", "pod", 0, "digits-0-0", "node-1", "10.0.0.1", 2, 4, acked=7)
ROUND = wire.Round(
    3,
    7,
    "complete",
    "lost",
    "b was lost",
    7,
    2,
    "a",
    "a",
    wire.StoreAddress("10.0.0.1", 29500),
    0.5,
)
DOCUMENTS = [
    wire.Settings(1, 2, 4, 3, 5, "it is over"),
    wire.Gone("pod", "the pod was deleted"),
    MEMBER,
    wire.Left("pod.1", "pod", 0, "digits-0-0", "signal", "it was told to stop", 3),
    ROUND,
    wire.Rank(7, "a", 0, "pod.1", "pod", 0, "digits-0-0", "node-1"),
    wire.Progress("pod.1", 3, 1200, 1.5, {"loss": "0.21", "grad/norm": "nan"}, 2.5, 0.4),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: type(d).__name__)
def test_a_document_comes_back_as_it_was_written(document):
    assert wire.decode(type(document), "key", wire.encode(document)) == document


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: type(d).__name__)
def test_fields_of_a_newer_writer_are_ignored(document):
    fields = {**json.loads(wire.encode(document)), "later": [1, 2]}
    assert wire.decode(type(document), "key", json.dumps(fields).encode()) == document


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "not valid JSON"),
        (b"\x80\x04.", "not valid JSON"),
        (b"[" * 60_000, "not valid JSON"),
        (b"[]", "a JSON object was expected, not list"),
        (b"{}", "version None; this client speaks version 1"),
        (b'{"v":2}', "version 2"),
        (b'{"v":1}', "field 'number' is missing"),
        (b" " * 70_000, "70000 bytes; at most 65536"),
    ],
)
def test_what_is_no_document_is_refused_with_its_key_and_fault(value, words):
    with pytest.raises(wire.WireError, match=words) as error:
        wire.decode(wire.Round, "/rdzv/v1/job-0/round", value)
    assert "/rdzv/v1/job-0/round" in str(error.value)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("number", "3", "field 'number' should be int, not str"),
        ("number", True, "field 'number' should be int, not bool"),
        ("number", 2**63, "field 'number' should be int"),
        ("number", -1, "number and proposal is out of range"),
        ("phase", "odd", "phase"),
        ("cause", "odd", "cause"),
        ("seconds", float("nan"), "seconds is out of range"),
        ("world_size", 10**9, "world_size is out of range"),
        ("store", None, "store of a complete round"),
        ("store", {"host": "a b", "port": 1}, "host"),
        ("store", {"host": "a", "port": 0}, "port is out of range"),
        ("store", "a:1", "field 'store' should be StoreAddress or null, not str"),
    ],
)
def test_a_field_of_the_wrong_type_or_range_is_refused_by_name(field, value, words):
    fields = {**json.loads(wire.encode(ROUND)), field: value}
    with pytest.raises(wire.WireError, match=words):
        wire.decode(wire.Round, "key", json.dumps(fields).encode())


@pytest.mark.parametrize("step", [-1, 0, 3, 4])
@pytest.mark.parametrize(
    "document",
    [MEMBER, wire.Settings(1, 2, 4), wire.Round(1, 1, "broken", "lost", "", 1, 2, "a", "a")],
    ids=lambda d: type(d).__name__,
)
def test_bounds_that_are_no_multiples_of_the_step_are_refused(document, step):
    fields = {**json.loads(wire.encode(document)), "min_nodes": 2, "max_nodes": 4, "step": step}
    with pytest.raises(wire.WireError, match="step is out of range"):
        wire.decode(type(document), "key", json.dumps(fields).encode())


def test_a_writer_who_knows_no_step_means_one():
    fields = json.loads(wire.encode(wire.Settings(1, 2, 3)))
    del fields["step"]
    assert wire.decode(wire.Settings, "key", json.dumps(fields).encode()).step == 1


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("step", -1, "step"),
        ("step", 2**53, "step"),
        ("epoch", -0.5, "epoch is out of range"),
        ("epoch", float("nan"), "epoch is out of range"),
        ("steps_per_second", float("inf"), "steps_per_second is out of range"),
        ("step_s", "fast", "field 'step_s' should be float or null, not str"),
        ("metrics", ["loss"], "field 'metrics' should be dict, not list"),
        ("metrics", {f"m{n}": "1" for n in range(17)}, "at most 16"),
        ("metrics", {"a b": "1"}, "the name 'a b' in metrics"),
        ("metrics", {"": "1"}, "the name '' in metrics"),
        ("metrics", {"loss": 1}, "metrics 'loss'"),
        ("metrics", {"loss": "1" * 25}, "metrics 'loss'"),
        ("metrics", {"loss": "<b>"}, "metrics 'loss'"),
    ],
)
def test_progress_that_nobody_can_have_made_is_refused(field, value, words):
    fields = {**json.loads(wire.encode(DOCUMENTS[-1])), field: value}
    with pytest.raises(wire.WireError, match=words):
        wire.decode(wire.Progress, "key", json.dumps(fields).encode())


def test_what_no_member_hears_of_sorts_behind_all_else():
    told = (KEYS.settings, KEYS.member(0, "a"), KEYS.left("a"), KEYS.round, KEYS.rank("a"))
    assert all(KEYS.prefix <= key < KEYS.steps_prefix for key in told)


@pytest.mark.parametrize("run_id", ["", "x" * 254, "ä" * 43])
def test_a_run_id_that_cannot_be_part_of_a_key_is_refused(run_id):
    with pytest.raises(wire.WireError, match="run id"):
        wire.Keys(run_id)


def test_a_run_id_is_encoded_where_a_key_does_not_allow_it():
    assert wire.Keys("a/b c%").prefix == "/rdzv/v1/a%2Fb%20c%25/"


def test_two_runs_never_share_a_key():
    assert wire.Keys("a b").prefix != wire.Keys("a%20b").prefix
    assert not wire.Keys("job-1").prefix.startswith(KEYS.prefix)
    assert not wire.Keys("job-01").prefix.startswith(wire.Keys("job-0").prefix)


def test_keys_stand_under_the_run():
    assert KEYS.settings == "/rdzv/v1/job-0/op/settings"
    assert KEYS.member(None, "a") == "/rdzv/v1/job-0/members/-/a"
    assert KEYS.member(3, "a") == "/rdzv/v1/job-0/members/3/a"
