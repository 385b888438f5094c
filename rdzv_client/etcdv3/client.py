"""The client: one method for each thing that is asked of etcd."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rdzv_client.etcdv3 import endpoints as addresses
from rdzv_client.etcdv3 import messages, requests
from rdzv_client.etcdv3.transport import Carrier, Settings, Transport
from rdzv_client.etcdv3.watch import Watch


class Client:
    """An etcd v3 client over the HTTP gateway.

    Safe to use from several threads. It connects at the first request, not when it is made. After
    a fork the child gets connections of its own; watches stay with the process that made them.

    Reads, keep-alives and other requests that may be repeated go from endpoint to endpoint until
    one answers. A write whose answer was lost raises ConnectionFailed with ``ambiguous`` set.

    Args:
        endpoints: such as ``["http://etcd-0:2379", "https://[::1]:2379"]``.
        tls: for https endpoints; None: the system's authorities, no client certificate.
        user, password: of etcd's own authentication; both or none.
        password_file: in place of ``password``: a file with it, read again for each log-in.
        request_timeout_s: for a request as a whole, over all endpoints it is tried on.
        connect_timeout_s: for one connection, TLS included.
        limit_bytes: longer answers are refused.

    Raises:
        ValueError: an argument is wrong; it says which and what is allowed.

    All methods raise:
        ConnectionFailed, RequestTimedOut: no endpoint carried out the request.
        AuthenticationFailed, PermissionDenied, RequestRefused: the server said no.
        ResponseInvalid: the answer makes no sense, or is too long.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        tls: addresses.TlsFiles | None = None,
        user: str | None = None,
        password: str | None = None,
        password_file: str | Path | None = None,
        request_timeout_s: float = 5.0,
        connect_timeout_s: float = 2.0,
        limit_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self.transport: Carrier = Transport(
            Settings(
                endpoints=addresses.parse(endpoints),
                tls=tls or addresses.TlsFiles(),
                user=user,
                password=password,
                password_file=password_file,
                request_timeout_s=request_timeout_s,
                connect_timeout_s=connect_timeout_s,
                limit_bytes=limit_bytes,
            )
        )

    @classmethod
    def over(cls, carrier: Carrier) -> Client:
        """A client whose requests go another way than over the gateway."""
        client = cls.__new__(cls)
        client.transport = carrier
        return client

    def with_timeout(self, request_timeout_s: float) -> Client:
        """Another client of the same etcd, with connections and a time-out of its own."""
        return self.over(self.transport.copy(request_timeout_s))

    @property
    def read_timeout(self) -> float:
        """How long a request as a whole may take, in seconds."""
        return self.transport.settings.request_timeout_s

    def get(self, key: str) -> messages.KeyValue | None:
        """The key as it is now, or None."""
        kvs = self.range(messages.get(key)).kvs
        return kvs[0] if kvs else None

    def get_prefix(
        self,
        prefix: str,
        *,
        limit: int = 0,
        sort: messages.Sort | None = None,
        keys_only: bool = False,
        max_create_revision: int = 0,
    ) -> messages.RangeResult:
        """All keys that begin with ``prefix``, at one revision.

        A member's predecessor in an election is the one result of ``sort="-create", limit=1,
        max_create_revision=<own create revision> - 1``.

        Args:
            prefix: of the keys; empty: all keys.
            limit: at most so many; 0: all. ``count`` and ``more`` of the result tell of the rest.
            sort: by what; None: by key.
            keys_only: leave the values out.
            max_create_revision: only keys that have existed since this revision or earlier; 0: all.
        """
        return self.range(
            messages.get_prefix(
                prefix,
                limit=limit,
                sort=sort,
                keys_only=keys_only,
                max_create_revision=max_create_revision,
            )
        )

    def range(self, op: messages.Get) -> messages.RangeResult:
        """Any read. Raises Compacted or FutureRevision when its ``revision`` does not exist."""
        return self.transport.send(requests.range_request(op))

    def put(self, key: str, value: bytes, lease: int = 0) -> messages.PutResult:
        """Write the key. Raises LeaseNotFound when the lease is gone."""
        return self.transport.send(requests.put_request(messages.put(key, value, lease)))

    def delete(self, key: str) -> messages.DeleteResult:
        """Delete the key; one that does not exist is no error."""
        return self.transport.send(requests.delete_request(messages.delete(key)))

    def delete_prefix(self, prefix: str) -> messages.DeleteResult:
        """Delete all keys that begin with ``prefix``; empty: all keys."""
        return self.transport.send(requests.delete_request(messages.delete_prefix(prefix)))

    def txn(
        self,
        compares: Sequence[messages.Compare],
        success: Sequence[messages.Op],
        failure: Sequence[messages.Op] = (),
    ) -> messages.TxnResult:
        """Do ``success`` when all of ``compares`` hold, else ``failure``: all at one revision.

        Repeated on another endpoint only when both branches only read.
        """
        return self.transport.send(requests.txn_request(compares, success, failure))

    def grant(self, ttl_s: int, lease: int = 0) -> int:
        """A new lease: keys put under it go when nobody keeps it alive for ``ttl_s`` seconds.

        Args:
            ttl_s: at least 1. etcd raises it to its own minimum, one and a half election time-outs
                (2 s by default).
            lease: the id to use; 0: the server chooses.

        Returns:
            The lease's id.
        """
        if ttl_s < 1:
            raise ValueError(f"ttl_s: expected at least 1, got {ttl_s}")
        return self.transport.send(requests.grant_request(ttl_s, lease)).lease

    def keep_alive(self, lease: int, timeout_s: float | None = None) -> int:
        """One beat: the lease lives for another full time. Returns that time in seconds.

        Args:
            lease: its id.
            timeout_s: for this beat, in place of the client's ``request_timeout_s``.

        Raises:
            LeaseNotFound: it expired or was revoked; its keys are gone.
        """
        return self.transport.send(requests.keep_alive_request(lease), timeout_s).ttl_s

    def revoke(self, lease: int) -> None:
        """End the lease and delete its keys. Raises LeaseNotFound when it is gone already."""
        self.transport.send(requests.revoke_request(lease))

    def status(self) -> messages.Status:
        """What the member that answers says about itself."""
        return self.transport.send(requests.status_request())

    @property
    def version(self) -> str:
        """Which etcd the member that answers is, such as "3.6.1"."""
        return self.status().version

    def watch(self, ranges: Iterable[messages.KeyRange], start_revision: int = 0) -> Watch:
        """Follow the changes of some ranges of keys (:class:`Watch`)."""
        return Watch(self, ranges, start_revision)

    def close(self) -> None:
        """Close idle connections. A later request opens new ones."""
        self.transport.close()

    def __enter__(self) -> Client:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
