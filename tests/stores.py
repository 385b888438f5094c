"""The stores that the session tests run on, each with what an operator and a fault would do to it.

A store of a new kind needs a class with these methods; the tests themselves do not change.
"""

import collections
import contextlib
import threading

from c10d_server import HOST, TcpStoreServer

from rdzv_client import etcd3_adapter, etcdv3, wire
from rdzv_client.backends import c10d
from rdzv_client.backends.blob import BlobBackend
from rdzv_client.backends.blob.value import Value
from rdzv_client.backends.c10d.layout import ALL, Layout
from rdzv_client.backends.c10d.picture import Picture
from rdzv_client.backends.etcd import EtcdBackend
from rdzv_client.backends.memory import MemoryBackend


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

    def site(self, keys, site):
        self._client.put(keys.site(site.node), wire.encode(site))

    def progress(self, keys):
        """What the members say of their training."""
        found = self._client.get_prefix(keys.steps_prefix)
        return [wire.decode(wire.Progress, kv.key, kv.value) for kv in found.kvs]

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

    def vanish(self):
        """Be out of reach for good; return the words that must name it."""
        self.server.kill()
        return f"127.0.0.1:{self.server.port}"


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


class FaultyMemory(MemoryBackend):
    """A value in memory that can be frozen, and that can be out of reach."""

    def __init__(self):
        super().__init__()
        self._flows = threading.Event()
        self._flows.set()
        self._asked_in_vain = threading.Event()
        self.away = None

    def get_state(self):
        self._answer()
        return super().get_state()

    def set_state(self, state, token=None):
        self._answer()
        return super().set_state(state, token)

    def replace(self, state):
        """Write past all that use it."""
        _, token = MemoryBackend.get_state(self) or (None, None)
        assert MemoryBackend.set_state(self, state, token)[2]

    def freeze(self):
        self._flows.clear()

    def thaw(self):
        self._flows.set()

    def go_away(self, words="connection refused", error=ConnectionError):
        """Be out of reach, at least until somebody has tried."""
        self._asked_in_vain.clear()
        self.away = error(words)

    def come_back(self):
        self._asked_in_vain.wait(10)
        self.away = None

    def _answer(self):
        self._flows.wait()
        if self.away:
            self._asked_in_vain.set()
            raise self.away


class BlobRuns:
    """Runs over a backend that has get_state and set_state alone."""

    name = "blob"

    def __init__(self):
        self._values = collections.defaultdict(FaultyMemory)
        self._away = None

    def close(self):
        self.thaw()

    def backend(self, keys, record, options):
        """One member's access to the run."""
        value = self._values[keys.run_id]
        value.away = self._away and ConnectionError(self._away)
        return BlobBackend(value, keys, record, options)

    # --- what an operator writes and reads ---

    def settle(self, keys, settings):
        if not self._away:
            self._edit(keys, lambda draft: draft.put(keys.settings, wire.encode(settings)))

    def gone(self, keys, record, reason):
        def edit(draft):
            gone = wire.encode(wire.Gone(record.uid, reason))
            draft.put(keys.gone(record.uid), gone)
            draft.delete(keys.member(record.slot, record.id))

        self._edit(keys, edit)

    def drain(self, keys, record, reason):
        drain = wire.encode(wire.Drain(record.uid, reason))
        self._edit(keys, lambda draft: draft.put(keys.drain(record.uid), drain))

    def site(self, keys, site):
        self._edit(keys, lambda draft: draft.put(keys.site(site.node), wire.encode(site)))

    def round(self, keys):
        there = self._value(keys).read().records[keys.round]
        return wire.decode(wire.Round, there.key, there.value)

    # --- what goes wrong ---

    def corrupt_round(self, keys, value):
        self._values[keys.run_id].replace(value)

    def vanish(self):
        """Be out of reach for good; return the words that must name it."""
        self._away = "nobody answers"
        return self._away

    def freeze(self):
        for value in self._values.values():
            value.freeze()

    def thaw(self):
        for value in self._values.values():
            value.thaw()

    def restart(self):
        """Be out of reach for a while."""
        for value in self._values.values():
            value.go_away()
            value.come_back()

    def replace(self):
        """Be out of reach for a while, and empty afterwards."""
        for value in self._values.values():
            value.go_away()
            value.empty()
            value.come_back()

    def _value(self, keys):
        return Value(self._values[keys.run_id], keys, 0.0, (), threading.Event())

    def _edit(self, keys, edit):
        self._value(keys).change(lambda draft: edit(draft) or True, lambda: False)


class C10dRuns:
    """Runs in a TCPStore."""

    name = "c10d"

    def __init__(self):
        self.server = TcpStoreServer().start()

    def close(self):
        self.server.kill()

    def endpoint(self, timeout_s=5.0, **how):
        from rdzv_client.tcp_store import Endpoint

        return Endpoint(HOST, self.server.port, timeout_s, **how)

    def _store(self):
        return self.endpoint().connect()

    def backend(self, keys, record, options):
        """One member's access to the run."""
        endpoint = self.endpoint(options.read_timeout)
        return c10d.C10dBackend(endpoint, keys, record.id, options.lease_ttl, options.read_timeout)

    # --- what an operator writes and reads ---

    def settle(self, keys, settings):
        c10d.write_settings(self._store(), keys, settings)

    def gone(self, keys, record, reason):
        c10d.declare_gone(self._store(), keys, wire.Gone(record.uid, reason))

    def drain(self, keys, record, reason):
        c10d.drain(self._store(), keys, wire.Drain(record.uid, reason))

    def site(self, keys, site):
        c10d.tell_site(self._store(), keys, site)

    def progress(self, keys):
        """What the members say of their training, as an observer reads it."""
        documents = Picture(Layout(keys)).read(self._store(), ALL.encode())
        found = [(key, value) for key, value in documents.items() if "/steps/" in key]
        return [wire.decode(wire.Progress, key, value) for key, value in found if value]

    def round(self, keys):
        return wire.decode(wire.Round, keys.round, c10d.read_round(self._store(), keys))

    # --- what goes wrong ---

    def corrupt_round(self, keys, value):
        self._store().set(keys.round, value)

    def freeze(self):
        self.server.freeze()

    def thaw(self):
        self.server.thaw()

    def restart(self):
        """Kill it, and start it: it has no data to keep."""
        self.replace()

    def replace(self):
        """Kill it, and start an empty one at the same address."""
        self.server.kill()
        self.server.start()

    def vanish(self):
        """Be out of reach; return the words that an error must say."""
        self.server.kill()
        return f"{HOST}:{self.server.port}"
