"""Reading what etcd's HTTP gateway sends, which is not trusted.

The gateway writes 64-bit numbers as strings and bytes as base64, leaves out what is zero, wraps
each message of a stream in ``{"result": ...}`` and errors in one of three shapes. Whatever else
arrives is a :class:`ResponseInvalid` that names the field.
"""

from __future__ import annotations

from rdzv_client.etcdv3 import errors, fields
from rdzv_client.etcdv3.messages import (
    DeleteResult,
    Document,
    Event,
    Header,
    KeyValue,
    LeaseResult,
    PutResult,
    RangeResult,
    Status,
    TxnResult,
    WatchBatch,
    decode_key,
)

_HTTP_OK = 200


def document(status: int, body: bytes) -> Document:
    """The JSON object in a response. Raises the error it carries, or ResponseInvalid."""
    if status == _HTTP_OK:
        answer = fields.parse(body, "the answer")
        if "error" in answer:
            raise _error(answer)
        return answer
    try:
        answer = fields.parse(body, "the answer")
    except errors.ResponseInvalid:
        answer = {}
    if "code" not in answer and "error" not in answer:
        raise unexpected_status(status, body)
    raise _error(answer)


def unexpected_status(status: int, body: bytes) -> errors.EtcdError:
    """What an HTTP status means that did not come from etcd's gateway itself."""
    server_error = 500
    if status >= server_error:
        return errors.ServerUnavailable(_UNAVAILABLE, f"HTTP status {status}: {fields.shown(body)}")
    return errors.ResponseInvalid(
        f"HTTP status {status}: {fields.shown(body)}; is this an etcd v3 endpoint, "
        "with its gateway enabled (--enable-grpc-gateway)?"
    )


def result(message: Document) -> Document:
    """What is inside one message of a stream. Raises the error it carries, or ResponseInvalid."""
    if "result" not in message:
        raise _error(message)
    return fields.child(message, "result")


def watch_batch(line: bytes) -> WatchBatch:
    """One message of a watch stream. Raises the error it carries, or ResponseInvalid."""
    body = result(fields.parse(line, "a watch message"))
    return WatchBatch(
        header=header(body),
        watch_id=fields.integer(body, "watch_id"),
        events=tuple(_event(item) for item in fields.children(body, "events")),
        created=fields.boolean(body, "created"),
        canceled=fields.boolean(body, "canceled"),
        compact_revision=fields.integer(body, "compact_revision"),
        cancel_reason=fields.text(body, "cancel_reason"),
    )


def header(body: Document) -> Header:
    """Who answered. Raises ResponseInvalid when it does not say: etcd always does."""
    if "header" not in body:
        raise errors.ResponseInvalid(
            f"header: missing, this is no answer of etcd: {fields.shown(body)}"
        )
    raw = fields.child(body, "header")
    return Header(fields.integer(raw, "cluster_id"), fields.integer(raw, "revision"))


def range_result(body: Document) -> RangeResult:
    return _range(body, header(body))


def _range(body: Document, known: Header) -> RangeResult:
    return RangeResult(
        header=known,
        kvs=tuple(key_value(item) for item in fields.children(body, "kvs")),
        count=fields.integer(body, "count"),
        more=fields.boolean(body, "more"),
    )


def put_result(body: Document) -> PutResult:
    return PutResult(header=header(body), prev=_previous(body))


def delete_result(body: Document) -> DeleteResult:
    return _deleted(body, header(body))


def _deleted(body: Document, known: Header) -> DeleteResult:
    prev = tuple(key_value(item) for item in fields.children(body, "prev_kvs"))
    return DeleteResult(header=known, deleted=fields.integer(body, "deleted"), prev=prev)


def txn_result(body: Document) -> TxnResult:
    whole = header(body)
    return TxnResult(
        header=whole,
        succeeded=fields.boolean(body, "succeeded"),
        responses=tuple(_txn_response(item, whole) for item in fields.children(body, "responses")),
    )


def lease_result(body: Document) -> LeaseResult:
    return LeaseResult(
        header=header(body), lease=fields.integer(body, "ID"), ttl_s=fields.integer(body, "TTL")
    )


def keep_alive_result(body: Document) -> LeaseResult:
    """Raises LeaseNotFound: etcd answers for a lease that is gone with no time to live."""
    beat = lease_result(result(body))
    if beat.ttl_s <= 0:
        raise errors.LeaseNotFound(_NOT_FOUND, f"lease {beat.lease} is gone")
    return beat


def status(body: Document) -> Status:
    return Status(
        header=header(body),
        member_id=fields.integer(fields.child(body, "header"), "member_id"),
        version=fields.text(body, "version"),
        leader=fields.integer(body, "leader"),
        db_size_bytes=fields.integer(body, "dbSize"),
        errors=tuple(str(item) for item in fields.array(body, "errors")),
    )


def token(body: Document) -> str:
    text = fields.text(body, "token")
    if not (text and text.isascii() and text.isprintable() and " " not in text):
        raise errors.ResponseInvalid(f"token: expected printable text, got {fields.shown(text)}")
    return text


def nothing(body: Document) -> None:
    header(body)


def key_value(raw: Document) -> KeyValue:
    return KeyValue(
        key=decode_key(fields.binary(raw, "key")),
        value=fields.binary(raw, "value"),
        create_revision=fields.integer(raw, "create_revision"),
        mod_revision=fields.integer(raw, "mod_revision"),
        version=fields.integer(raw, "version"),
        lease=fields.integer(raw, "lease"),
    )


def _event(raw: Document) -> Event:
    kind = fields.text(raw, "type")
    if kind not in ("", "PUT", "DELETE"):
        raise errors.ResponseInvalid(f"type: expected PUT or DELETE, got {fields.shown(kind)}")
    return Event(
        kind="delete" if kind == "DELETE" else "put",
        kv=key_value(fields.child(raw, "kv")),
        prev=_previous(raw),
    )


def _previous(raw: Document) -> KeyValue | None:
    return key_value(fields.child(raw, "prev_kv")) if raw.get("prev_kv") else None


def _txn_response(raw: Document, whole: Header) -> RangeResult | PutResult | DeleteResult:
    """One part of a transaction: its own header says no more than that of the whole."""
    if "response_range" in raw:
        return _range(fields.child(raw, "response_range"), whole)
    if "response_put" in raw:
        return PutResult(whole, _previous(fields.child(raw, "response_put")))
    if "response_delete_range" in raw:
        return _deleted(fields.child(raw, "response_delete_range"), whole)
    raise errors.ResponseInvalid(
        f"responses: expected range, put or delete, got {fields.shown(raw)}"
    )


# Errors of the server

_INVALID_ARGUMENT, _NOT_FOUND, _PERMISSION_DENIED, _OUT_OF_RANGE = 3, 5, 7, 11
_DEADLINE_EXCEEDED, _UNAVAILABLE, _UNAUTHENTICATED = 4, 14, 16
_CREDENTIALS = ("authentication failed", "user name is empty", "user name not found")


def _error(answer: Document) -> errors.EtcdError:
    nested = answer.get("error")
    raw = nested if isinstance(nested, dict) else answer
    code = fields.integer(raw, "code") or fields.integer(raw, "grpc_code")
    reason = fields.shown(raw.get("message") or nested or "no reason given")
    if not code and not nested:
        return errors.ResponseInvalid(f"neither a result nor an error: {fields.shown(answer)}")
    return refusal(code, reason)


def refusal(code: int, reason: str, compact_revision: int = 0) -> errors.RequestRefused:
    """The error for a gRPC status code and etcd's words."""
    if code == _UNAUTHENTICATED or "invalid auth token" in reason or "auth store is old" in reason:
        return errors.TokenInvalid(code, reason)
    if any(words in reason for words in _CREDENTIALS):
        return errors.AuthenticationFailed(code, reason)
    if code == _PERMISSION_DENIED or "permission denied" in reason:
        return errors.PermissionDenied(code, reason)
    if compact_revision or "has been compacted" in reason:
        return errors.Compacted(code, reason, compact_revision)
    if code == _OUT_OF_RANGE and "future revision" in reason:
        return errors.FutureRevision(code, reason)
    if "lease not found" in reason:
        return errors.LeaseNotFound(code, reason)
    if code in (_UNAVAILABLE, _DEADLINE_EXCEEDED):
        return errors.ServerUnavailable(code, reason)
    return errors.RequestRefused(code, reason)
