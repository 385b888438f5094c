"""Reading the gateway's JSON."""

import json

import pytest

from rdzv_client.etcdv3 import answers, errors, messages, requests

HEADER = {"cluster_id": "14841639068965178418", "member_id": "7", "revision": "9", "raft_term": "2"}


def line(**result):
    return json.dumps({"result": {"header": HEADER, **result}}).encode()


def test_numbers_that_exceed_64_bits_signed_are_read_from_text():
    assert answers.header({"header": HEADER}) == messages.Header(14841639068965178418, 9)


def test_what_is_left_out_is_zero():
    assert answers.key_value({"key": "YQ=="}) == messages.KeyValue("a")
    assert answers.range_result({"header": {}}) == messages.RangeResult(messages.Header())


def test_a_watch_batch_holds_puts_and_deletes_and_what_was_before():
    kv = {"key": "YQ==", "value": "MQ==", "mod_revision": "9", "create_revision": "4", "lease": "5"}
    gone = {"type": "DELETE", "kv": {"key": "Yg==", "mod_revision": "9"}, "prev_kv": kv}
    batch = answers.watch_batch(line(watch_id="3", events=[{"kv": kv}, gone]))
    a = messages.KeyValue("a", b"1", create_revision=4, mod_revision=9, lease=5)
    b = messages.KeyValue("b", mod_revision=9)
    assert batch.events == (messages.Event("put", a), messages.Event("delete", b, a))
    assert (batch.watch_id, batch.revision, batch.created, batch.canceled) == (3, 9, False, False)


def test_a_canceled_watch_tells_why():
    batch = answers.watch_batch(line(canceled=True, compact_revision="8", cancel_reason="x"))
    assert (batch.canceled, batch.compact_revision, batch.cancel_reason) == (True, 8, "x")


@pytest.mark.parametrize(
    "document",
    [
        {"code": 5, "message": "etcdserver: requested lease not found"},
        {"error": "etcdserver: requested lease not found", "code": 5},
        {"error": {"grpc_code": 5, "message": "etcdserver: requested lease not found"}},
        {"error": {"code": 5, "message": "etcdserver: requested lease not found", "details": []}},
    ],
    ids=["unary", "unary before 3.5", "stream before 3.5", "stream"],
)
def test_errors_are_read_in_every_shape_the_gateway_has_used(document):
    request = requests.keep_alive_request(1)
    for status in (200, 404):
        with pytest.raises(errors.LeaseNotFound, match="requested lease not found") as caught:
            request.answer(status, json.dumps(document).encode())
        assert caught.value.code == 5


def test_a_lease_without_time_to_live_is_gone():
    with pytest.raises(errors.LeaseNotFound, match="lease 12"):
        requests.keep_alive_request(12).answer(200, line(ID="12"))


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (3, "etcdserver: duplicate key given in txn request", errors.RequestRefused),
        (3, "etcdserver: authentication failed, invalid user ID", errors.AuthenticationFailed),
        (3, "etcdserver: user name is empty", errors.AuthenticationFailed),
        (3, "etcdserver: revision of auth store is old", errors.TokenInvalid),
        (16, "etcdserver: invalid auth token", errors.TokenInvalid),
        (3, "etcdserver: invalid auth token", errors.TokenInvalid),
        (7, "etcdserver: permission denied", errors.PermissionDenied),
        (3, "etcdserver: permission denied", errors.PermissionDenied),
        (5, "etcdserver: requested lease not found", errors.LeaseNotFound),
        (8, "etcdserver: mvcc: database space exceeded", errors.RequestRefused),
        (9, "etcdserver: lease already exists", errors.RequestRefused),
        (11, "etcdserver: mvcc: required revision has been compacted", errors.Compacted),
        (11, "etcdserver: mvcc: required revision is a future revision", errors.FutureRevision),
        (14, "etcdserver: no leader", errors.ServerUnavailable),
        (14, "etcdserver: request timed out", errors.ServerUnavailable),
        (4, "context deadline exceeded", errors.ServerUnavailable),
    ],
)
def test_a_refusal_becomes_the_error_that_callers_tell_apart(code, reason, kind):
    error = answers.refusal(code, reason)
    assert type(error) is kind
    assert reason in str(error)


@pytest.mark.parametrize("text", ["", "a b", "a\r\nHost: x", "\u00e4"])
def test_a_token_that_could_forge_a_header_is_refused(text):
    with pytest.raises(errors.ResponseInvalid, match="token"):
        answers.token({"header": HEADER, "token": text})


@pytest.mark.parametrize(
    ("operation", "body", "kind"),
    [
        ("response_range", {"count": "1", "kvs": [{"key": "YQ=="}]}, messages.RangeResult),
        ("response_put", {"prev_kv": {"key": "YQ=="}}, messages.PutResult),
        ("response_delete_range", {"deleted": "2"}, messages.DeleteResult),
    ],
)
def test_a_transaction_answers_each_operation_in_its_kind(operation, body, kind):
    responses = [{operation: {"header": {"revision": "9"}, **body}}]
    result = answers.txn_result({"header": HEADER, "succeeded": True, "responses": responses})
    assert type(result.responses[0]) is kind
    assert result.responses[0].revision == 9


def test_an_unknown_kind_of_response_is_refused():
    with pytest.raises(errors.ResponseInvalid, match="expected range, put or delete"):
        answers.txn_result({"header": HEADER, "responses": [{"response_other": {}}]})
