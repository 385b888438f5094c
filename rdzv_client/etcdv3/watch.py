"""Following changes of keys, over as many disconnections as it takes."""

from __future__ import annotations

import contextlib
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdzv_client.etcdv3 import answers, errors, messages, requests, stream
from rdzv_client.etcdv3.history import History

if TYPE_CHECKING:
    from rdzv_client.etcdv3.client import Client

_FIRST_DELAY_S = 0.05
_INVALID_ARGUMENT = 3
_TOKENS_TRIED = 3
_TRANSIENT = (OSError, errors.ConnectionFailed, errors.ServerUnavailable, errors.TokenInvalid)


@dataclass(frozen=True, slots=True)
class Contact:
    """Whether a watch is in touch with the store.

    Attributes:
        connected: all ranges are watched at this moment, without a gap.
        since_s: of ``time.monotonic()``, when that became so.
        endpoint: the endpoint it is about.
        reason: why contact was lost.
    """

    connected: bool
    since_s: float
    endpoint: str = ""
    reason: str = ""


@dataclass(slots=True)
class _Watched:
    keys: messages.KeyRange
    next_revision: int  # 0: from whenever the watch is created
    created: bool = False


class Watch:
    """Iterates over what changes in some ranges of keys, in the thread that iterates.

    All ranges share one connection. After a disconnection, of whatever kind, it goes on from where
    it was, at the next endpoint, with a growing and random delay between attempts. The first batch
    of each range on each connection has ``created`` set: nothing that happens later is missed.

    A server that is frozen or cut off leaves the connection up: it is pinged when silent, and lost
    after twice ``heartbeat_s``. A ping proves that the member's process lives, not that the member
    is in touch with the others: who needs to know that has a lease to keep alive, and can
    :meth:`reconnect` when its beats fail.

    It may be added to, asked and closed from other threads. It belongs to the process that made it.

    Args:
        client: whose endpoints, credentials and limits are used.
        ranges: of :func:`messages.one` or :func:`messages.prefix`; their ids are 1, 2, 3...
        start_revision: the first revision to see, usually that of a listing plus one; 0: from now.
        cluster_id: of that listing's header; 0: whatever cluster answers first.
        prev_kv: give each event the key as it was before.
        on_contact: called, in the iterating thread, when contact is made and when it is lost.
        heartbeat_s: how long the server may be silent before it is pinged, and then before it is
            given up.
        max_delay_s: the longest wait between two attempts to connect.
        until_s: of ``time.monotonic()``, when the iteration ends by itself; an attempt to connect
            is not cut short.

    While iterating it raises:
        Resync: it cannot go on without a gap; list again and make a new watch.
        PermissionDenied, AuthenticationFailed, RequestRefused: the server said no.
        ResponseInvalid: what answers there is no etcd gateway.
        A watch that raised is closed.
    """

    def __init__(
        self,
        client: Client,
        ranges: Iterable[messages.KeyRange],
        start_revision: int = 0,
        *,
        cluster_id: int = 0,
        prev_kv: bool = False,
        on_contact: Callable[[Contact], None] | None = None,
        heartbeat_s: float = 2.0,
        max_delay_s: float = 3.0,
        until_s: float = math.inf,
    ) -> None:
        if not heartbeat_s > 0:
            raise ValueError(f"heartbeat_s: expected more than 0, got {heartbeat_s}")
        self._client = client
        self._prev_kv = prev_kv
        self._on_contact = on_contact
        self._heartbeat_s = heartbeat_s
        self._max_delay_s = max_delay_s
        self._until_s = until_s
        self._contact = Contact(connected=False, since_s=time.monotonic())
        self._pid = os.getpid()
        self._wakeup = stream.Wakeup()
        self._iterating = threading.Lock()
        self._closed = False
        self._reconnect_reason: str | None = None
        # Wanted by callers, under the lock, and asked for on the stream at hand, by the iterator.
        self._lock = threading.Lock()
        self._wanted: dict[int, _Watched] = {}
        self._last_id = 0
        self._asked: set[int] = set()
        self._stream: stream.Stream | None = None
        self._endpoint = client.transport.preferred()
        self._failures = 0
        self._refused_tokens = 0
        self._history = History(client, cluster_id)
        for keys in ranges:
            self.add(keys, start_revision)

    @property
    def contact(self) -> Contact:
        """Whether the watch is in touch now, and since when."""
        return self._contact

    def add(self, keys: messages.KeyRange, start_revision: int = 0) -> int:
        """Watch one more range; it begins with a ``created`` batch. Returns its watch id."""
        with self._lock:
            self._last_id += 1
            self._wanted[self._last_id] = _Watched(keys, start_revision)
            watch_id = self._last_id
        self._wake_iterator()
        return watch_id

    def cancel(self, watch_id: int) -> None:
        """Stop watching the range: no batch of it follows. An unknown id is ignored."""
        with self._lock:
            self._wanted.pop(watch_id, None)
        self._wake_iterator()

    def reconnect(self, reason: str) -> None:
        """Leave the endpoint at hand for the next one, without a gap."""
        self._reconnect_reason = reason
        self._wakeup.set()

    def close(self) -> None:
        """End the iteration, wherever it waits: at once, or with the attempt to connect at hand."""
        if self._pid != os.getpid():
            return  # the parent's descriptors are not the child's to use
        self._closed = True
        self._wakeup.set()
        if self._iterating.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._iterating.release()

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> messages.WatchBatch:
        if self._pid != os.getpid():
            raise RuntimeError("this watch belongs to another process: make a new one")
        with self._iterating:
            while not self._closed and time.monotonic() < self._until_s:
                try:
                    batch = self._step()
                except _TRANSIENT as error:
                    self._lose(error)
                except BaseException:
                    self._closed = True
                    self._release()
                    raise
                else:
                    if batch is not None:
                        return batch
            self._closed = True
            self._release()
            raise StopIteration

    def __enter__(self) -> Watch:  # noqa: PYI034 - Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wake_iterator(self) -> None:
        """Have what is wanted looked at; an iteration that has not begun looks at it anyway."""
        if self._iterating.locked():
            self._wakeup.set()

    # Everything below runs in the iterating thread.

    def _step(self) -> messages.WatchBatch | None:
        if self._reconnect_reason is not None:
            reason, self._reconnect_reason = self._reconnect_reason, None
            raise ConnectionError(reason)
        link = self._stream or self._connect()
        self._ask(link)
        line = link.receive(self._until_s)
        return None if line is None else self._accept(answers.watch_batch(line))

    def _connect(self) -> stream.Stream:
        transport = self._client.transport
        path = requests.WATCH_PATH
        link = transport.open_stream(path, self._endpoint, self._wakeup, self._heartbeat_s)
        self._stream = link
        self._history.confirm()
        return link

    def _ask(self, link: stream.Stream) -> None:
        """Bring what is watched on the stream in line with what is wanted."""
        with self._lock:
            if self._wanted.keys() == self._asked:
                return
            wanted = dict(self._wanted)
        cancels = [requests.watch_cancel(watch_id) for watch_id in self._asked - wanted.keys()]
        creates = [
            requests.watch_create(
                watch_id, watched.keys, watched.next_revision, prev_kv=self._prev_kv
            )
            for watch_id, watched in wanted.items()
            if watch_id not in self._asked
        ]
        self._asked = set(wanted)
        link.send(cancels + creates)
        self._tell_connected()

    def _accept(self, batch: messages.WatchBatch) -> messages.WatchBatch | None:
        self._history.note(batch)
        with self._lock:
            watched = self._wanted.get(batch.watch_id)
        if batch.canceled:
            self._raise_canceled(batch, watched)
        if watched is None:
            return None  # of a range that was cancelled meanwhile
        if batch.created:
            self._accept_created(batch, watched)
        elif batch.events:
            # Not the header's revision: while catching up it is ahead of the events.
            watched.next_revision = batch.events[-1].kv.mod_revision + 1
        return batch

    def _accept_created(self, batch: messages.WatchBatch, watched: _Watched) -> None:
        seen = watched.next_revision - 1
        if batch.revision < seen:
            self._history.confirm_revision(watched.keys, seen)
        if watched.next_revision == 0:
            watched.next_revision = batch.revision + 1
        watched.created = True
        self._failures = self._refused_tokens = 0
        self._tell_connected()

    def _raise_canceled(self, batch: messages.WatchBatch, watched: _Watched | None) -> None:
        if batch.compact_revision:
            raise errors.Resync(f"compacted up to revision {batch.compact_revision}")
        if batch.created:  # refused, under an id that says nothing
            raise answers.refusal(_INVALID_ARGUMENT, batch.cancel_reason)
        if watched is not None:
            raise ConnectionError(f"the server cancelled the watch: {batch.cancel_reason}")

    def _tell_connected(self) -> None:
        with self._lock:
            complete = all(watched.created for watched in self._wanted.values())
        if complete and self._stream is not None and not self._contact.connected:
            self._tell(Contact(True, time.monotonic(), self._stream.endpoint))

    def _lose(self, error: Exception) -> None:
        """Drop the stream, say so, and wait before the next attempt."""
        if isinstance(error, errors.TokenInvalid):
            self._doubt_token(error)
        self._drop()
        names = self._client.transport.settings.endpoints
        endpoint = str(names[self._endpoint % len(names)])
        self._endpoint += 1
        if self._contact.connected or not self._contact.reason:
            self._tell(Contact(False, time.monotonic(), endpoint, str(error) or repr(error)))
        longest_s = min(self._max_delay_s, _FIRST_DELAY_S * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        if not self._closed:
            delay_s = longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            self._wakeup.wait(max(0.0, min(delay_s, self._until_s - time.monotonic())))

    def _doubt_token(self, error: errors.TokenInvalid) -> None:
        """Have the next attempt made with a new token; raise when there is none, or no use."""
        transport = self._client.transport
        self._refused_tokens += 1
        known = transport.settings.user is not None
        if known and self._refused_tokens < _TOKENS_TRIED:
            transport.forget_token()
            return
        self._closed = True
        self._release()
        if not known:
            raise error
        raise errors.AuthenticationFailed(
            error.code,
            f"{error.reason}; new tokens were refused, too: the gateway of etcd 3.4 passes none on "
            "to watches, where users are needed use 3.5 or newer",
        ) from error

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.drop()
        self._stream = None
        self._asked = set()
        with self._lock:
            for watched in self._wanted.values():
                watched.created = False

    def _tell(self, contact: Contact) -> None:
        self._contact = contact
        if self._on_contact is not None:
            self._on_contact(contact)

    def _release(self) -> None:
        with contextlib.suppress(OSError):
            if self._stream is not None:
                self._stream.close()
        self._drop()
        self._wakeup.close()
