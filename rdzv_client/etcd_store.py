"""torch's key-value store on etcd v3."""

from __future__ import annotations

import itertools
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, ParamSpec, TypeVar

import torch.distributed
from torch.distributed import DistNetworkError, DistStoreError, Store

from rdzv_client import etcd3_adapter, etcdv3
from rdzv_client.backends.run_lease import RunLease
from rdzv_client.etcdv3 import messages
from rdzv_client.utils import _delay

__all__ = ["EtcdStore", "EtcdStoreTimeout", "EtcdStoreUnavailable", "cas_delay"]

P = ParamSpec("P")
T = TypeVar("T")

_OPS_PER_TXN: Final = 100  # etcd's own default limit is 128
_BYTES_PER_TXN: Final = 1024 * 1024  # etcd's own default limit is 1.5 MiB, in all
_INTEGER = re.compile(rb"[+-]?[0-9]{1,19}")
# It is newer than the oldest torch that is supported.
_QueueEmpty: Final = getattr(torch.distributed, "QueueEmptyError", DistStoreError)


def cas_delay() -> None:
    """Sleep for up to 0.1 s, as who writes by compare-and-set after torch's pattern does."""
    _delay((0.0, 0.1))


class EtcdStoreTimeout(DistStoreError, LookupError):  # type: ignore[misc]
    """What was waited for was not there in time."""


class EtcdStoreUnavailable(DistNetworkError):  # type: ignore[misc]
    """etcd could not be reached, or refused; the words are the client's."""


class EtcdStore(Store):  # type: ignore[misc]
    """A store whose keys stand under one prefix of an etcd.

    Any number of processes and threads may use it at once. Every call costs as much as it touches,
    however many other keys there are. Who waits for a key is woken by etcd, and waits through its
    outages. etcd's limits hold: 1.5 MiB for a value, unless the server was told otherwise; and the
    client's, for all that one call reads.

    Keys and values are ``str`` or ``bytes`` of any content, and stand in etcd as they are. Nothing
    expires without a lease: delete the prefix when nobody needs it.

    Args:
        etcd_client: An :class:`rdzv_client.etcdv3.Client` or a client of the package ``etcd3``.
        etcd_store_prefix: What all keys begin with; a ``/`` is put behind it unless it ends so.
        timeout: How long to wait for keys; None: 300 s.
        lease: What all keys are put under.

    All methods raise:
        EtcdStoreUnavailable: etcd could not be reached, or refused.
        ValueError: a key or value of the wrong type.
    """

    def __init__(
        self,
        etcd_client: Any,
        etcd_store_prefix: str,
        timeout: timedelta | None = None,
        *,
        lease: RunLease | None = None,
    ) -> None:
        super().__init__()
        self.client = etcd3_adapter.adapt(etcd_client)
        self.lease = lease
        self._txn = (lease or self.client).txn
        self.prefix = etcd_store_prefix.rstrip("/") + "/"
        self._queues = self.prefix[:-1] + ".queues/"  # beside the keys: no key can be mistaken
        self._clones: list[EtcdStore] = []
        if timeout is not None:
            self.set_timeout(timeout)

    # --- one key ---

    def set(self, key: str | bytes, value: str | bytes) -> None:
        """Write the key."""
        self._put(self._key(key), _bytes(value))

    def get(self, key: str | bytes) -> bytes:
        """Return the value, as soon as there is one.

        Raises:
            EtcdStoreTimeout: there is none within ``timeout``.
        """
        found = self._call(self.client.get, self._key(key))
        return (found or self._await([key], self.timeout)[0]).value

    def add(self, key: str | bytes, num: int) -> int:
        """Add to the decimal number under the key, 0 when there is none; return the sum.

        Raises:
            ValueError: what stands there is no number.
        """
        return int(self._update(key, lambda old: b"%d" % (_number(key, old) + int(num))))

    def append(self, key: str | bytes, value: str | bytes) -> None:
        """Put the value behind what stands under the key."""
        self._update(key, lambda old: (old or b"") + _bytes(value))

    def compare_set(
        self, key: str | bytes, expected_value: str | bytes, desired_value: str | bytes
    ) -> bytes:
        """Write the key if it has the expected value; a missing one if the empty one is expected.

        Returns:
            What stands there now; for a key that is missing and stays so, the expected value.
        """
        name, expected, desired = self._key(key), _bytes(expected_value), _bytes(desired_value)
        holds = messages.value_is(name, expected) if expected else messages.absent(name)
        answer = self._call(self._txn, [holds], [messages.put(name, desired)], [messages.get(name)])
        if answer.succeeded:
            return desired
        found = _found(answer)
        if found and not expected and not found[0].value:
            return self._replace_empty(name, desired)
        return found[0].value if found else expected

    def delete_key(self, key: str | bytes) -> bool:
        """Delete the key; return whether there was one."""
        return bool(self._call(self.client.delete, self._key(key)).deleted)

    # --- several keys ---

    def wait(self, keys: Sequence[str | bytes], override_timeout: timedelta | None = None) -> None:
        """Wait until all the keys are there.

        Raises:
            EtcdStoreTimeout: they are not within the time, else within ``timeout``.
        """
        self._await(keys, override_timeout or self.timeout, keys_only=True)

    def check(self, keys: Sequence[str | bytes]) -> bool:
        """Return whether all the keys are there now."""
        names = set(map(self._key, keys))
        return len(self._read(names, keys_only=True)[0]) == len(names)

    def multi_get(self, keys: Sequence[str | bytes]) -> list[bytes]:
        """Return the values of all the keys, as soon as they are there (see :meth:`get`)."""
        return [kv.value for kv in self._await(keys, self.timeout)]

    def multi_set(self, keys: Sequence[str | bytes], values: Sequence[str | bytes]) -> None:
        """Write the keys, at most a hundred and about 1 MiB at a time."""
        if len(keys) != len(values):
            raise ValueError(f"multi_set: {len(keys)} keys, but {len(values)} values")
        new = {self._key(key): _bytes(value) for key, value in zip(keys, values, strict=True)}
        for puts in _portions(new):
            self._call(self._txn, [], puts)

    def num_keys(self) -> int:
        """Return how many keys there are."""
        counted = messages.get_prefix(self.prefix, count_only=True)
        return self._call(self.client.range, counted).count

    def list_keys(self) -> list[str]:
        """Return all keys, in the order of their bytes."""
        kvs = self._call(self.client.get_prefix, self.prefix, keys_only=True).kvs
        return [kv.key.removeprefix(self.prefix) for kv in kvs]

    # --- queues ---

    def queue_push(self, key: str | bytes, value: str | bytes) -> None:
        """Put the value at the end of a queue. Queues have names of their own, beside the keys."""
        self._put(self._queue(key) + uuid.uuid4().hex, _bytes(value))

    def queue_pop(self, key: str | bytes, block: bool = True) -> bytes:
        """Take the first value off a queue; each goes to one taker.

        Raises:
            QueueEmptyError: it is empty, and ``block`` is False.
            EtcdStoreTimeout: it stays empty for ``timeout``.
        """
        deadline_s = time.monotonic() + self.timeout.total_seconds()
        queue = self._queue(key)
        while True:
            first = self._call(self.client.get_prefix, queue, sort="create", limit=1)
            for kv in first.kvs:
                unclaimed = messages.created(kv.key, kv.create_revision)
                if self._call(self.client.txn, [unclaimed], [messages.delete(kv.key)]).succeeded:
                    return kv.value
            if not first.kvs and not block:
                raise _QueueEmpty(f"the queue {key!r} is empty")
            if not first.kvs and not self._hear_any(queue, first.revision, deadline_s):
                raise EtcdStoreTimeout(f"nothing came into the queue {key!r} in time")

    def queue_len(self, key: str | bytes) -> int:
        """Return how many values are in a queue; 0 when there is none."""
        counted = messages.get_prefix(self._queue(key), count_only=True)
        return self._call(self.client.range, counted).count

    # --- the store itself ---

    def has_extended_api(self) -> bool:
        """Return True: ``append``, ``multi_get`` and ``multi_set`` work."""
        return True

    def clone(self) -> EtcdStore:
        """Return another store on the same keys, with a time-out of its own."""
        clone = EtcdStore(self.client, self.prefix, self.timeout, lease=self.lease)
        self._clones.append(clone)  # torch's C++ keeps no Python object alive
        return clone

    # The names by which a PrefixStore calls them.
    deleteKey = delete_key  # noqa: N815
    getNumKeys = num_keys  # noqa: N815

    # --- how ---

    def _key(self, key: str | bytes) -> str:
        return self.prefix + _text("key", key)

    def _queue(self, key: str | bytes) -> str:
        name = _text("queue's name", key)
        return f"{self._queues}{len(name)}:{name}/"  # no queue's prefix begins another's

    def _call(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except etcdv3.EtcdError as error:
            raise EtcdStoreUnavailable(f"store {self.prefix}: {error}") from error

    def _put(self, name: str, value: bytes) -> None:
        if self.lease is None:
            self._call(self.client.put, name, value)
        else:
            self._call(self._txn, [], [messages.put(name, value)])

    def _update(self, key: str | bytes, change: Callable[[bytes | None], bytes]) -> bytes:
        """Replace the value by what ``change`` makes of it; of racing writers, one always wins."""
        name, kv = self._key(key), None
        while True:
            new = change(kv.value if kv else None)
            unchanged = messages.modified(name, kv.mod_revision if kv else 0)
            answer = self._call(
                self._txn, [unchanged], [messages.put(name, new)], [messages.get(name)]
            )
            if answer.succeeded:
                return new
            kv = next(iter(_found(answer)), None)

    def _replace_empty(self, name: str, desired: bytes) -> bytes:
        """The rest of ``compare_set``: a key with an empty value also matches the empty one."""
        answer = self._call(
            self._txn,
            [messages.value_is(name, b"")],
            [messages.put(name, desired)],
            [messages.get(name)],
        )
        found = _found(answer)
        return desired if answer.succeeded or not found else found[0].value

    def _await(
        self, keys: Sequence[str | bytes], timeout: timedelta, *, keys_only: bool = False
    ) -> list[messages.KeyValue]:
        """The keys' entries in their order, as soon as all are there."""
        deadline_s = time.monotonic() + timeout.total_seconds()
        names = [self._key(key) for key in keys]
        there: dict[str, messages.KeyValue] = {}
        while missing := [name for name in dict.fromkeys(names) if name not in there]:
            found, revision = self._read(missing, keys_only=keys_only)
            there |= found
            missing = [name for name in missing if name not in there]
            if missing and not self._hear(missing, revision, deadline_s):
                shown = ", ".join(name.removeprefix(self.prefix) for name in missing[:10])
                raise EtcdStoreTimeout(
                    f"store {self.prefix}: after {timeout.total_seconds():g} s there is still no "
                    f"key {shown}"
                )
        return [there[name] for name in names]

    def _read(
        self, names: Iterable[str], *, keys_only: bool
    ) -> tuple[dict[str, messages.KeyValue], int]:
        """Those of the keys that are there, and the revision up to which that is known."""
        there: dict[str, messages.KeyValue] = {}
        revision = 0
        for chunk in _chunks(names):
            gets = [messages.get(name, keys_only=keys_only) for name in chunk]
            answer = self._call(self.client.txn, [], gets)
            there |= {kv.key: kv for kv in _found(answer)}
            revision = revision or answer.revision
        return there, revision

    def _hear(self, names: Iterable[str], revision: int, deadline_s: float) -> bool:
        """Wait until all of the keys have been put after the revision; False when it is late."""
        missing = set(names)
        for event in self._events(map(messages.one, sorted(missing)), revision, deadline_s):
            (missing.discard if event.kind == "put" else missing.add)(event.kv.key)
            if not missing:
                break
        return not missing or time.monotonic() < deadline_s

    def _hear_any(self, prefix: str, revision: int, deadline_s: float) -> bool:
        """Wait until something under the prefix has been put; False when it is late."""
        events = self._events([messages.prefix(prefix)], revision, deadline_s)
        return any(event.kind == "put" for event in events) or time.monotonic() < deadline_s

    def _events(
        self, ranges: Iterable[messages.KeyRange], revision: int, deadline_s: float
    ) -> Iterator[messages.Event]:
        """What changes after the revision; it ends when it is late, or when it has a gap."""
        try:
            with etcdv3.Watch(self.client, ranges, revision + 1, until_s=deadline_s) as watch:
                for batch in watch:
                    yield from batch.events
        except etcdv3.Resync:
            return  # who waits reads again
        except (etcdv3.EtcdError, OSError) as error:
            raise EtcdStoreUnavailable(f"store {self.prefix}: {error}") from error


def _found(answer: messages.TxnResult) -> list[messages.KeyValue]:
    ranges = [each for each in answer.responses if isinstance(each, messages.RangeResult)]
    return [kv for each in ranges for kv in each.kvs]


def _chunks(names: Iterable[str]) -> Iterable[list[str]]:
    rest = iter(names)
    while chunk := list(itertools.islice(rest, _OPS_PER_TXN)):
        yield chunk


def _portions(new: Mapping[str, bytes]) -> Iterator[list[messages.Put]]:
    """What writes the keys, in portions that etcd takes."""
    puts: list[messages.Put] = []
    size = 0
    for name, value in new.items():
        size += len(name) + len(value)
        if puts and (len(puts) == _OPS_PER_TXN or size > _BYTES_PER_TXN):
            yield puts
            puts, size = [], len(name) + len(value)
        puts.append(messages.put(name, value))
    if puts:
        yield puts


def _text(what: str, value: str | bytes) -> str:
    if not isinstance(value, (str, bytes)):
        raise ValueError(f"the {what} of an EtcdStore must be str or bytes, not {value!r}")  # noqa: TRY004 - as torch's
    return value if isinstance(value, str) else messages.decode_key(value)


def _bytes(value: str | bytes) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise ValueError(f"a value in an EtcdStore must be str or bytes, not {value!r}")


def _number(key: str | bytes, value: bytes | None) -> int:
    if value is None:
        return 0
    if not _INTEGER.fullmatch(value):
        raise ValueError(f"add: what stands under {key!r} is no number: {value[:40]!r}")
    return int(value)
