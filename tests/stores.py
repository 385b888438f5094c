"""The stores that the session tests run on, each with what an operator and a fault would do to it.

A store of a new kind needs a class with these methods; the tests themselves do not change.
"""

from rdzv_client import etcdv3, wire
from rdzv_client.backends.etcd import EtcdBackend


class EtcdRuns:
    """Runs in an etcd."""

    name = "etcd"

    def __init__(self, server):
        self.server = server
        self._client = etcdv3.Client([server.url])

    def close(self):
        self._client.close()

    def backend(self, keys, record, options):
        """One member's access to the run."""
        client = etcdv3.Client([self.server.url])
        return EtcdBackend(client, keys, record.id, record.slot, options.lease_ttl)

    # --- what an operator writes and reads ---

    def settle(self, keys, settings):
        self._client.put(keys.settings, wire.encode(settings))

    def gone(self, keys, record, reason):
        gone = wire.encode(wire.Gone(record.uid, reason))
        put = etcdv3.messages.put(keys.gone(record.uid), gone)
        delete = etcdv3.messages.delete(keys.member(record.slot, record.id))
        self._client.txn([], [put, delete])

    def round(self, keys):
        kv = self._client.get(keys.round)
        return wire.decode(wire.Round, kv.key, kv.value)

    # --- what goes wrong ---

    def corrupt_round(self, keys, value):
        self._client.put(keys.round, value)

    def freeze(self):
        self.server.freeze()

    def thaw(self):
        self.server.thaw()

    def restart(self):
        """Kill it, and start it with its data."""
        self.server.restart()

    def replace(self):
        """Kill it, and start an empty one at the same address."""
        self.server.empty(token="second")
        self.server.start()
