"""Whether a store is still the one that was watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdzv_client.etcdv3 import errors, messages

if TYPE_CHECKING:
    from rdzv_client.etcdv3.client import Client


class History:
    """What a watch has seen of the store, to be found again after a disconnection.

    An emptied store has the same cluster id, which is made from the members' addresses and the
    ``--initial-cluster-token``, and by then perhaps a higher revision. It will hardly have the same
    value, lease and version of the key that changed last, at the same revision. Whoever runs etcd
    on storage that can be lost makes it certain by a token that is new with each storage.
    """

    def __init__(self, client: Client, cluster_id: int) -> None:
        self._client = client
        self._cluster_id = cluster_id
        self._last_put: messages.KeyValue | None = None

    def note(self, batch: messages.WatchBatch) -> None:
        """Remember what a batch shows. Raises Resync when it is of another cluster."""
        cluster_id = batch.header.cluster_id
        if self._cluster_id == 0:
            self._cluster_id = cluster_id
        if self._cluster_id != cluster_id:
            raise errors.Resync(f"this is cluster {cluster_id:x}, it was {self._cluster_id:x}")
        for event in batch.events:
            if event.kind == "put":
                self._last_put = event.kv

    def confirm(self) -> None:
        """Raises Resync when what was seen last is not there; EtcdError when it cannot be read."""
        seen = self._last_put
        if seen is None:
            return
        found = self._read(messages.Get(messages.one(seen.key), revision=seen.mod_revision))
        if found.kvs != (seen,):
            raise errors.Resync(f"the store lost what it had at revision {seen.mod_revision}")

    def confirm_revision(self, keys: messages.KeyRange, revision: int) -> None:
        """Raises Resync when the store has not reached this revision.

        A member's own word is not enough: it may just lag behind the others.
        """
        self._read(messages.Get(keys, revision=revision, limit=1, keys_only=True))

    def _read(self, op: messages.Get) -> messages.RangeResult:
        try:
            return self._client.range(op)
        except errors.FutureRevision as error:
            raise errors.Resync(f"the store has not reached revision {op.revision}") from error
        except errors.Compacted as error:
            raise errors.Resync(f"revision {op.revision} has been compacted") from error
