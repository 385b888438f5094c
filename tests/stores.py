"""The stores that the session tests run on, each with what an operator and a fault would do to it.

A store of a new kind needs a class with these methods; the tests themselves do not change.
"""

import contextlib

from rdzv_client import etcd3_adapter, etcdv3, wire
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
        return EtcdBackend(self._connect(), keys, record.id, record.slot, options.lease_ttl)

    def _connect(self):
        return etcdv3.Client([self.server.url])

    # --- what an operator writes and reads ---

    def settle(self, keys, settings):
        self._client.put(keys.settings, wire.encode(settings))

    def gone(self, keys, record, reason):
        gone = wire.encode(wire.Gone(record.uid, reason))
        put = etcdv3.messages.put(keys.gone(record.uid), gone)
        delete = etcdv3.messages.delete(keys.member(record.slot, record.id))
        self._client.txn([], [put, delete])

    def drain(self, keys, record, reason):
        self._client.put(keys.drain(record.uid), wire.encode(wire.Drain(record.uid, reason)))

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


class Etcd3Runs(EtcdRuns):
    """The same, with members that use clients of the package ``etcd3``."""

    name = "etcd3"

    def __init__(self, server):
        super().__init__(server)
        self._clients = contextlib.ExitStack()

    def close(self):
        super().close()
        self._clients.close()

    def _connect(self):
        client = self._clients.enter_context(connect_etcd3(self.server.port))
        return etcd3_adapter.adapt(client)


def connect_etcd3(port):
    etcd3 = etcd3_adapter.import_etcd3()
    return etcd3.client("127.0.0.1", port, grpc_options=etcd3_adapter.GRPC_OPTIONS)
