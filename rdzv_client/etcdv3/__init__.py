"""A small etcd v3 client on etcd's HTTP gateway, from the standard library alone.

    client = etcdv3.Client(["http://127.0.0.1:2379"])
    found = client.get_prefix("/jobs/")
    with etcdv3.Watch(client, [messages.prefix("/jobs/")], found.revision + 1) as watch:
        for batch in watch:
            ...

``messages``, ``requests`` and ``answers`` are pure: with another HTTP client they make another
client, for example one for asyncio.
"""

from __future__ import annotations

from rdzv_client.etcdv3 import answers, messages, requests
from rdzv_client.etcdv3.client import Client
from rdzv_client.etcdv3.endpoints import TlsFiles
from rdzv_client.etcdv3.errors import (
    AuthenticationFailed,
    Compacted,
    ConnectionFailed,
    EtcdError,
    FutureRevision,
    LeaseNotFound,
    PermissionDenied,
    RequestRefused,
    RequestTimedOut,
    ResponseInvalid,
    Resync,
    ServerUnavailable,
    TokenInvalid,
)
from rdzv_client.etcdv3.keep_alive import KeepAlive
from rdzv_client.etcdv3.messages import Event, KeyRange, KeyValue, WatchBatch
from rdzv_client.etcdv3.watch import Contact, Watch

__all__ = [
    "AuthenticationFailed",
    "Client",
    "Compacted",
    "ConnectionFailed",
    "Contact",
    "EtcdError",
    "Event",
    "FutureRevision",
    "KeepAlive",
    "KeyRange",
    "KeyValue",
    "LeaseNotFound",
    "PermissionDenied",
    "RequestRefused",
    "RequestTimedOut",
    "ResponseInvalid",
    "Resync",
    "ServerUnavailable",
    "TlsFiles",
    "TokenInvalid",
    "Watch",
    "WatchBatch",
    "answers",
    "messages",
    "requests",
]
