"""What is said to etcd and heard from it: keys, events, conditions, operations, results.

Pure values. ``requests`` turns them into the JSON of etcd's HTTP gateway, ``answers`` reads it.
What is made by the dozen is a tuple, which takes a fifth of the time of a frozen dataclass.
Keys are text; bytes in a key that are not UTF-8 survive as surrogate escapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Document = dict[str, Any]

Sort = Literal["key", "-key", "create", "-create", "mod", "-mod", "version", "-version"]
"""What a range is ordered by; a leading minus means descending."""


class Header(NamedTuple):
    """Who answered, and how far its history goes."""

    cluster_id: int = 0
    revision: int = 0


class KeyValue(NamedTuple):
    """A key as it was at ``mod_revision``; ``lease`` is 0 when it is under none."""

    key: str
    value: bytes = b""
    create_revision: int = 0
    mod_revision: int = 0
    version: int = 0
    lease: int = 0


class Event(NamedTuple):
    """One change. A delete's ``kv`` holds the key and the revision of the delete alone."""

    kind: Literal["put", "delete"]
    kv: KeyValue
    prev: KeyValue | None = None


# Ranges of keys


class KeyRange(NamedTuple):
    """The keys from ``key`` up to but without ``end``; just ``key`` when ``end`` is empty.

    Who watches it with ``deletes_only`` is not told of what is put there.
    """

    key: bytes
    end: bytes = b""
    deletes_only: bool = False

    def __str__(self) -> str:
        if not self.end:
            return self.key.decode(errors="backslashreplace")
        return f"{self.key.decode(errors='backslashreplace')}*"


def one(key: str, *, deletes_only: bool = False) -> KeyRange:
    """The range of exactly this key. Raises ValueError when it is empty."""
    if not key:
        raise ValueError("an etcd key must not be empty")
    return KeyRange(encode_key(key), deletes_only=deletes_only)


def prefix(start: str) -> KeyRange:
    """The range of all keys that begin with ``start``; of all keys at all when it is empty."""
    first = encode_key(start)
    kept = first.rstrip(b"\xff")
    if not kept:
        return KeyRange(first or b"\0", b"\0")
    return KeyRange(first, kept[:-1] + bytes([kept[-1] + 1]))


def encode_key(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def decode_key(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


# Conditions and operations of a transaction


class Compare(NamedTuple):
    """Holds when the key's ``target`` stands to ``operand`` as ``relation`` says.

    With ``end``, when that is so for all keys from ``key`` up to it.
    """

    key: str
    target: Literal["CREATE", "MOD", "VERSION", "VALUE", "LEASE"]
    operand: int | bytes
    relation: Literal["EQUAL", "GREATER", "LESS", "NOT_EQUAL"] = "EQUAL"
    end: bytes = b""


def created(key: str, revision: int) -> Compare:
    """The key exists and has existed since this revision (with 0: it does not exist)."""
    return Compare(key, "CREATE", revision)


def modified(key: str, revision: int) -> Compare:
    """The key was last written at this revision (with 0: it does not exist)."""
    return Compare(key, "MOD", revision)


def absent(key: str) -> Compare:
    """The key does not exist."""
    return Compare(key, "CREATE", 0)


def none_under(start: str) -> Compare:
    """No key exists that begins with ``start``. Raises ValueError when that is empty."""
    if not start:
        raise ValueError("a prefix that is compared must not be empty")
    return Compare(start, "CREATE", 0, end=prefix(start).end)


def present(key: str) -> Compare:
    """The key exists."""
    return Compare(key, "CREATE", 0, "GREATER")


def value_is(key: str, value: bytes) -> Compare:
    """The key exists with this value."""
    return Compare(key, "VALUE", value)


class Get(NamedTuple):
    """Read a range. 0 or None means "not restricted"; ``revision`` 0 is the newest."""

    keys: KeyRange
    revision: int = 0
    limit: int = 0
    sort: Sort | None = None
    keys_only: bool = False
    count_only: bool = False
    serializable: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0


class Put(NamedTuple):
    """Write a key. ``ignore_lease`` keeps the lease the key is under."""

    key: str
    value: bytes
    lease: int = 0
    prev_kv: bool = False
    ignore_lease: bool = False


class Delete(NamedTuple):
    """Delete a range."""

    keys: KeyRange
    prev_kv: bool = False


Op = Get | Put | Delete


def get(key: str, *, keys_only: bool = False) -> Get:
    return Get(one(key), keys_only=keys_only)


def get_prefix(
    start: str,
    *,
    limit: int = 0,
    sort: Sort | None = None,
    keys_only: bool = False,
    count_only: bool = False,
    max_create_revision: int = 0,
) -> Get:
    return Get(
        prefix(start),
        limit=limit,
        sort=sort,
        keys_only=keys_only,
        count_only=count_only,
        max_create_revision=max_create_revision,
    )


def put(key: str, value: bytes, lease: int = 0) -> Put:
    if not key:
        raise ValueError("an etcd key must not be empty")
    return Put(key, value, lease)


def delete(key: str) -> Delete:
    return Delete(one(key))


def delete_prefix(start: str) -> Delete:
    return Delete(prefix(start))


# Results


@dataclass(frozen=True, slots=True)
class _Result:
    header: Header

    @property
    def revision(self) -> int:
        """The store's revision when this was answered."""
        return self.header.revision


@dataclass(frozen=True, slots=True)
class RangeResult(_Result):
    """``count`` is the number of keys in the range, whatever the limit; ``more``: the limit cut."""

    kvs: tuple[KeyValue, ...] = ()
    count: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class PutResult(_Result):
    prev: KeyValue | None = None


@dataclass(frozen=True, slots=True)
class DeleteResult(_Result):
    deleted: int = 0
    prev: tuple[KeyValue, ...] = ()


@dataclass(frozen=True, slots=True)
class TxnResult(_Result):
    """``responses`` are those of the branch that was taken, in the order of its operations."""

    succeeded: bool = False
    responses: tuple[RangeResult | PutResult | DeleteResult, ...] = ()


@dataclass(frozen=True, slots=True)
class LeaseResult(_Result):
    """``ttl_s`` is what the server granted, which may be more than was asked for."""

    lease: int = 0
    ttl_s: int = 0


@dataclass(frozen=True, slots=True)
class Status(_Result):
    """One member about itself; ``leader`` is the leader's member id, 0 when there is none."""

    member_id: int = 0
    version: str = ""
    leader: int = 0
    db_size_bytes: int = 0
    errors: tuple[str, ...] = ()


class WatchBatch(NamedTuple):
    """One message of a watch stream: changes of one range in order, never a part of a revision's.

    The first of each connection has ``created`` set and no events: from there on no change is
    missed. ``watch_id`` is the one that :meth:`Watch.add` returned.
    """

    header: Header
    watch_id: int = 0
    events: tuple[Event, ...] = ()
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""

    @property
    def revision(self) -> int:
        """The store's revision when this was sent."""
        return self.header.revision
