"""Building the gateway's JSON."""

import json

import pytest

from rdzv_client.etcdv3 import messages, requests


def body(request):
    return json.loads(request.body)


@pytest.mark.parametrize(
    ("start", "key", "end"),
    [
        ("a", b"a", b"b"),
        ("a/", b"a/", b"a0"),
        ("\u00ff", b"\xc3\xbf", b"\xc3\xc0"),
        ("a\udcff", b"a\xff", b"b"),
        ("", b"\0", b"\0"),
        ("\udcff\udcff", b"\xff\xff", b"\0"),
    ],
)
def test_a_prefix_ends_before_the_first_key_that_does_not_have_it(start, key, end):
    assert messages.prefix(start) == messages.KeyRange(key, end)


def test_a_read_says_only_what_is_restricted():
    plain = requests.range_request(messages.get("a"))
    assert (plain.path, body(plain)) == ("/v3/kv/range", {"key": "YQ=="})
    op = messages.get_prefix("a", limit=2, sort="-create", max_create_revision=7, keys_only=True)
    assert body(requests.range_request(op)) == {
        "key": "YQ==",
        "range_end": "Yg==",
        "limit": "2",
        "sort_order": "DESCEND",
        "sort_target": "CREATE",
        "max_create_revision": "7",
        "keys_only": True,
    }


def test_a_write_names_its_lease():
    request = requests.put_request(messages.put("a", b"\xff", lease=2**62))
    assert body(request) == {"key": "YQ==", "value": "/w==", "lease": str(2**62)}


@pytest.mark.parametrize(
    ("compare", "expected"),
    [
        (messages.absent("a"), {"target": "CREATE", "result": "EQUAL", "create_revision": "0"}),
        (messages.present("a"), {"target": "CREATE", "result": "GREATER", "create_revision": "0"}),
        (messages.created("a", 5), {"target": "CREATE", "result": "EQUAL", "create_revision": "5"}),
        (messages.modified("a", 6), {"target": "MOD", "result": "EQUAL", "mod_revision": "6"}),
        (messages.value_is("a", b"1"), {"target": "VALUE", "result": "EQUAL", "value": "MQ=="}),
    ],
)
def test_conditions(compare, expected):
    assert body(requests.txn_request([compare], [], []))["compare"] == [{"key": "YQ==", **expected}]


def test_operations_keep_their_order():
    ops = [messages.put("a", b""), messages.get("a"), messages.delete("a")]
    document = body(requests.txn_request([], ops, [messages.delete_prefix("a")]))
    assert [next(iter(op)) for op in document["success"]] == [
        "request_put",
        "request_range",
        "request_delete_range",
    ]
    assert document["failure"] == [{"request_delete_range": {"key": "YQ==", "range_end": "Yg=="}}]


@pytest.mark.parametrize(
    ("request_", "repeatable"),
    [
        (requests.range_request(messages.get("a")), True),
        (requests.keep_alive_request(1), True),
        (requests.revoke_request(1), True),
        (requests.grant_request(5), True),
        (requests.grant_request(5, lease=1), False),
        (requests.put_request(messages.put("a", b"")), False),
        (requests.delete_request(messages.delete("a")), False),
        (requests.txn_request([], [messages.get("a")], [messages.get("b")]), True),
        (requests.txn_request([], [messages.get("a")], [messages.delete("b")]), False),
    ],
    ids=lambda value: getattr(value, "path", None),
)
def test_only_what_does_no_harm_twice_is_repeated(request_, repeatable):
    assert request_.repeatable == repeatable


def test_a_watch_is_opened_from_a_revision_and_cancelled_by_its_id():
    create = json.loads(requests.watch_create(3, messages.prefix("a"), 8, prev_kv=False))
    assert create == {
        "create_request": {
            "key": "YQ==",
            "range_end": "Yg==",
            "watch_id": "3",
            "start_revision": "8",
            "prev_kv": False,
        }
    }
    assert json.loads(requests.watch_cancel(3)) == {"cancel_request": {"watch_id": "3"}}
