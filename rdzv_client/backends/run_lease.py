"""The lease of a whole run in etcd: what stands under it goes some time after the run's end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from rdzv_client import etcdv3
from rdzv_client.etcdv3 import messages


class RunLease:
    """One lease that all members of a run share; its id stands under a key, itself under the lease.

    All methods raise :class:`rdzv_client.etcdv3.EtcdError` when etcd cannot be reached.

    Args:
        client: The client.
        key: Where the id stands.
        ttl_s: How long the lease outlives its last renewal, in seconds.
    """

    def __init__(self, client: etcdv3.Client, key: str, ttl_s: int) -> None:
        self._client, self._key, self._ttl_s = client, key, ttl_s
        self._lease = 0
        self._renew_at_s = 0.0

    def txn(
        self,
        compares: Sequence[messages.Compare],
        success: Sequence[messages.Op],
        failure: Sequence[messages.Op] = (),
    ) -> messages.TxnResult:
        """Carry out a transaction; what it puts under no other lease is put under the run's."""
        if not any(map(_is_bare, success)):
            return self._client.txn(compares, success, failure)
        with contextlib.suppress(etcdv3.LeaseNotFound):
            return self._client.txn(compares, _under(self._find(), success), failure)
        self._lease = 0
        return self._client.txn(compares, _under(self._find(), success), failure)

    def prepare(self) -> None:
        """Find the lease, or make it, before it is needed; where etcd fails that is left to do."""
        with contextlib.suppress(etcdv3.EtcdError):
            self._find()

    def renew(self) -> None:
        """Keep the lease alive, if a third of its time has passed since that was done here.

        Raises:
            LeaseNotFound: it ran out: all that stood under it is gone.
        """
        if time.monotonic() < self._renew_at_s:
            return
        try:
            self._client.keep_alive(self._find())
        except etcdv3.LeaseNotFound:
            self._lease = 0
            raise
        self._renew_at_s = time.monotonic() + self._ttl_s / 3

    def _find(self) -> int:
        """The lease that the run has; a new one if it has none."""
        while not self._lease:
            found = self._client.get(self._key)
            self._lease = (found and _number(found.value)) or self._found(found)
        return self._lease

    def _found(self, unusable: messages.KeyValue | None) -> int:
        """Give the run a lease, unless somebody is faster."""
        new = self._client.grant(self._ttl_s)
        unchanged = messages.modified(self._key, unusable.mod_revision if unusable else 0)
        put = messages.put(self._key, b"%d" % new, new)
        answer = self._client.txn([unchanged], [put], [messages.get(self._key)])
        if answer.succeeded:
            return new
        self._client.revoke(new)
        read = answer.responses[0]
        kvs = read.kvs if isinstance(read, messages.RangeResult) else ()
        return _number(kvs[0].value) if kvs else 0


def _is_bare(op: messages.Op) -> bool:
    return isinstance(op, messages.Put) and not op.lease


def _under(lease: int, ops: Sequence[messages.Op]) -> list[messages.Op]:
    return [
        op._replace(lease=lease) if isinstance(op, messages.Put) and not op.lease else op
        for op in ops
    ]


def _number(value: bytes) -> int:
    """The id in a value that is not trusted; 0 if there is none in it."""
    return int(value) if value.isdigit() and len(value) < 20 else 0
