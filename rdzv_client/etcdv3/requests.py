"""Requests to etcd's HTTP gateway, built but not sent.

A :class:`Request` knows its path, its body, how to read the answer, and whether sending it twice
does no harm. Any HTTP client can carry it: POST ``body`` to ``path``, hand status and body of the
response to :meth:`Request.answer`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rdzv_client.etcdv3 import answers
from rdzv_client.etcdv3.messages import (
    Compare,
    Delete,
    DeleteResult,
    Document,
    Get,
    KeyRange,
    LeaseResult,
    Op,
    Put,
    PutResult,
    RangeResult,
    Status,
    TxnResult,
    encode_key,
)

T = TypeVar("T")

WATCH_PATH = "/v3/watch"
KEEP_ALIVE_PATH = "/v3/lease/keepalive"
_ENCODER = json.JSONEncoder(separators=(",", ":"))

_OPERAND_FIELDS = {
    "CREATE": "create_revision",
    "MOD": "mod_revision",
    "VERSION": "version",
    "VALUE": "value",
    "LEASE": "lease",
}


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One call. ``repeatable``: carrying it out twice has the effect of once."""

    path: str
    body: bytes
    parse: Callable[[Document], T]
    repeatable: bool

    def answer(self, status: int, body: bytes) -> T:
        """The result in the response. Raises what the server's error means, or ResponseInvalid."""
        return self.parse(answers.document(status, body))


def range_request(op: Get) -> Request[RangeResult]:
    return Request("/v3/kv/range", dump(_get(op)), answers.range_result, repeatable=True)


def put_request(op: Put) -> Request[PutResult]:
    return Request("/v3/kv/put", dump(_put(op)), answers.put_result, repeatable=False)


def delete_request(op: Delete) -> Request[DeleteResult]:
    return Request("/v3/kv/deleterange", dump(_delete(op)), answers.delete_result, repeatable=False)


def txn_request(
    compares: Sequence[Compare], success: Sequence[Op], failure: Sequence[Op]
) -> Request[TxnResult]:
    body = {
        "compare": [_compare(compare) for compare in compares],
        "success": [_op(op) for op in success],
        "failure": [_op(op) for op in failure],
    }
    only_reads = all(isinstance(op, Get) for op in (*success, *failure))
    return Request("/v3/kv/txn", dump(body), answers.txn_result, repeatable=only_reads)


def grant_request(ttl_s: int, lease: int = 0) -> Request[LeaseResult]:
    """A new lease; with ``lease`` 0 the server chooses its id.

    Repeatable: a lease whose answer was lost is never kept alive and ends by itself.
    """
    body = {"TTL": str(ttl_s), "ID": str(lease)}
    return Request("/v3/lease/grant", dump(body), answers.lease_result, repeatable=lease == 0)


def keep_alive_request(lease: int) -> Request[LeaseResult]:
    body = dump({"ID": str(lease)})
    return Request(KEEP_ALIVE_PATH, body, answers.keep_alive_result, repeatable=True)


def revoke_request(lease: int) -> Request[None]:
    body = dump({"ID": str(lease)})
    return Request("/v3/lease/revoke", body, answers.nothing, repeatable=True)


def status_request() -> Request[Status]:
    return Request("/v3/maintenance/status", b"{}", answers.status, repeatable=True)


def authenticate_request(user: str, password: str) -> Request[str]:
    body = dump({"name": user, "password": password})
    return Request("/v3/auth/authenticate", body, answers.token, repeatable=True)


def watch_create(watch_id: int, keys: KeyRange, start_revision: int, *, prev_kv: bool) -> bytes:
    """The message that opens a watch on a stream; ``start_revision`` 0 means "from now"."""
    body = _keys(keys) | {"watch_id": str(watch_id), "start_revision": str(start_revision)}
    filters = {"filters": ["NOPUT"]} if keys.deletes_only else {}
    return dump({"create_request": body | {"prev_kv": prev_kv} | filters})


def watch_cancel(watch_id: int) -> bytes:
    return dump({"cancel_request": {"watch_id": str(watch_id)}})


def dump(body: Document) -> bytes:
    return _ENCODER.encode(body).encode()


def _text(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")


def _keys(keys: KeyRange) -> Document:
    key = _text(keys.key)
    return {"key": key, "range_end": _text(keys.end)} if keys.end else {"key": key}


def _get(op: Get) -> Document:
    body: Document = _keys(op.keys)
    for name, value in zip(op._fields, op, strict=True):
        if value is True:
            body[name] = True
        elif value and type(value) is int:
            body[name] = str(value)
    if op.sort:
        body["sort_order"] = "DESCEND" if op.sort.startswith("-") else "ASCEND"
        body["sort_target"] = op.sort.lstrip("-").upper()
    return body


def _put(op: Put) -> Document:
    body: Document = {"key": _text(encode_key(op.key)), "value": _text(op.value)}
    if op.lease:
        body["lease"] = str(op.lease)
    if op.prev_kv:
        body["prev_kv"] = True
    if op.ignore_lease:
        body["ignore_lease"] = True
    return body


def _delete(op: Delete) -> Document:
    return _keys(op.keys) | ({"prev_kv": True} if op.prev_kv else {})


def _op(op: Op) -> Document:
    if isinstance(op, Get):
        return {"request_range": _get(op)}
    if isinstance(op, Put):
        return {"request_put": _put(op)}
    return {"request_delete_range": _delete(op)}


def _compare(compare: Compare) -> Document:
    operand = compare.operand
    body = {
        "key": _text(encode_key(compare.key)),
        "target": compare.target,
        "result": compare.relation,
        _OPERAND_FIELDS[compare.target]: _text(operand)
        if isinstance(operand, bytes)
        else str(operand),
    }
    if compare.end:
        body["range_end"] = _text(compare.end)
    return body
