"""The port over etcd: what a member writes, and how it shows life."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, ParamSpec, TypeVar

from rdzv_client import etcdv3, publication, wire
from rdzv_client.backends import Listener, StoreUnavailable
from rdzv_client.backends.etcd.ear import Ear
from rdzv_client.backends.etcd.place import Self
from rdzv_client.backends.etcd.registration import MAX_OPS_PER_TXN, Registration
from rdzv_client.backends.run_lease import RunLease
from rdzv_client.etcdv3 import messages

log = logging.getLogger(__name__)

_RUN_TTL_S: Final = 7200
_BEAT: Final = 0.4
"""Of a lease: two are due while it lasts, and of the second there is time to hear."""
_ANSWER: Final = 0.3
"""Of a lease: longer none waits for the answer to a beat, so that there is time for another."""
_RETRY_S: Final = 0.5
_OPEN_S: Final = 1.0  # longer than a watch takes that opens at all

P = ParamSpec("P")
T = TypeVar("T")


def _translated(call: Callable[P, T]) -> Callable[P, T]:
    """Raise the port's error for whatever goes wrong between here and etcd."""

    @functools.wraps(call)
    def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except etcdv3.EtcdError as error:
            raise StoreUnavailable(str(error)) from error

    return translated


class EtcdBackend:
    """One member's access to one run in etcd (implements :class:`rdzv_client.backends.Backend`).

    Args:
        client: The client; the backend closes it when it stops.
        keys: The run's keys.
        member: The member's id.
        slot: Its slot, if it has one.
        lease_ttl_s: How long the member's record outlives its last sign of life.
        run_ttl_s: How long what the members wrote of the run outlives the last leader.
        beat_timeout_s: For etcd to acknowledge a sign of life; at most 0.3 of the lease.
    """

    def __init__(
        self,
        client: etcdv3.Client,
        keys: wire.Keys,
        member: str,
        slot: int | None,
        lease_ttl_s: float,
        *,
        run_ttl_s: int = _RUN_TTL_S,
        beat_timeout_s: float = math.inf,
    ) -> None:
        self._client, self._keys, self._member = client, keys, member
        me = Self(keys, member, slot)
        self._key = me.key
        self._lease_ttl_s = max(1, round(lease_ttl_s))
        self._beat_timeout_s = min(beat_timeout_s, self._lease_ttl_s * _ANSWER)
        self._lease: int | None = None
        self._run = RunLease(client, f"{keys.prefix}lease", run_ttl_s)
        self._registration = Registration(client, self._run, me)
        self._ear = Ear(client, me)
        self._create_revision = self._mod_revision = 0
        self._beats: threading.Thread | None = None
        self._stopped = threading.Event()
        self._listener: Listener

    # --- the port ---

    @property
    def leading(self) -> bool:
        return self._ear.leading

    @_translated
    def read_round(self) -> bytes | None:
        found = self._client.get(self._keys.round)
        return found.value if found else None

    @_translated
    def read_members(self) -> list[bytes]:
        return [kv.value for kv in self._client.get_prefix(self._keys.members).kvs]

    @_translated
    def read_settings(self) -> bytes | None:
        found = self._client.get(self._keys.settings)
        return found.value if found else None

    def start(self, listener: Listener) -> None:
        self._listener = listener
        self._ear.start(listener)

    @_translated
    def register(self, record: wire.Member) -> None:
        self._keep_beating()  # where etcd is slow, a lease can run out before its record is written
        self._lease = lease = self._client.grant(self._lease_ttl_s)
        self._ear.await_open(_OPEN_S)
        written = self._registration.register(record, lease)
        self._create_revision, self._mod_revision = written.create_revision, written.mod_revision
        self._listener.beaten()
        self._ear.take_place(written.place)
        if written.may_lead:
            self._run.prepare()  # it may lead: now is the time, while the others come

    @_translated
    def rewrite(self, record: wire.Member) -> bool:
        written = self._write_again(record)
        if not written:
            self._ear.doubt()
        return written

    def _write_again(self, record: wire.Member) -> bool:
        if self._lease is None:
            return False
        # By the last change: a write that was given up may yet arrive, and must not win then.
        unchanged = messages.modified(self._key, self._mod_revision)
        put = messages.put(self._key, wire.encode(record), self._lease)
        try:
            answer = self._client.txn([unchanged], [put])
        except etcdv3.LeaseNotFound:
            return False
        if answer.succeeded:
            self._mod_revision = answer.revision
        return answer.succeeded

    @_translated
    def report(self, progress: wire.Progress) -> bool:
        """Say how far training has come (:class:`rdzv_client.backends.ReportingBackend`)."""
        lease = self._lease
        if lease is None:
            return False
        mine = messages.created(self._key, self._create_revision)
        put = messages.put(self._keys.steps(self._member), wire.encode(progress), lease)
        try:
            return self._client.txn([mine], [put]).succeeded
        except etcdv3.LeaseNotFound:
            return False

    @_translated
    def publish(self, new: publication.Publication, round_revision: int) -> bool:
        puts = [messages.put(self._keys.rank(rank.id), wire.encode(rank)) for rank in new.ranks]
        stale = [messages.delete(self._keys.rank(member)) for member in new.stale_ranks]
        seal = messages.put(self._keys.round, wire.encode(new.round))
        fences = [
            messages.created(self._key, self._create_revision),
            messages.modified(self._keys.round, round_revision),
        ]
        return all(
            self._run.txn(fences, chunk).succeeded for chunk in _chunks([*stale, *puts, seal])
        )

    @_translated
    def refuse(self, left: wire.Left) -> None:
        leads = messages.created(self._key, self._create_revision)
        put = messages.put(self._keys.left(left.id), wire.encode(left))
        delete = messages.delete(self._keys.member(left.slot, left.id))
        self._run.txn([leads], [put, delete])

    @_translated
    def restore(self, lost: publication.Restoration, round_revision: int) -> None:
        if lost.rank:
            put = messages.put(self._keys.rank(self._member), wire.encode(lost.rank))
            self._run.txn([], [put])
        if lost.round:
            unchanged = messages.modified(self._keys.round, round_revision)
            put = messages.put(self._keys.round, wire.encode(lost.round))
            self._run.txn([unchanged], [put])

    @_translated
    def leave(self, left: wire.Left) -> None:
        put = messages.put(self._keys.left(left.id), wire.encode(left))
        self._run.txn([], [put, messages.delete(self._key)])
        if self._lease is not None:
            lease, self._lease = self._lease, None
            self._client.revoke(lease)

    def stop(self) -> None:
        self._stopped.set()
        self._ear.stop()
        self._client.close()

    # --- showing life ---

    def _keep_beating(self) -> None:
        if self._beats is None:
            self._beats = threading.Thread(target=self._beat, name="rendezvous-beat", daemon=True)
            self._beats.start()

    def _beat(self) -> None:
        period_s = wait_s = self._lease_ttl_s * _BEAT
        with contextlib.closing(etcdv3.KeepAlive(self._client)) as keep_alive:
            while not self._stopped.wait(wait_s):
                wait_s = period_s
                if self._mod_revision:
                    self._ear.settle()
                if self._lease is None or not self._listener.alive():
                    continue
                if not self._beat_once(keep_alive, self._lease):
                    wait_s = min(_RETRY_S, period_s)

    def _beat_once(self, keep_alive: etcdv3.KeepAlive, lease: int) -> bool:
        """Show life; return False when etcd could not be asked."""
        try:
            keep_alive.beat(lease, self._beat_timeout_s)
            self._listener.beaten()
            if self.leading:
                self._renew_run()
        except etcdv3.LeaseNotFound:
            if self._lease == lease:
                self._lease = None
                self._ear.lapse()
        except etcdv3.EtcdError as error:
            self._listener.unreachable(error)
            return False
        return True

    def _renew_run(self) -> None:
        try:
            self._run.renew()
        except etcdv3.LeaseNotFound:
            log.warning("The lease of the run ran out; its round is brought back.")


def _chunks(ops: Sequence[messages.Op]) -> Iterable[Sequence[messages.Op]]:
    for start in range(0, len(ops), MAX_OPS_PER_TXN):
        yield ops[start : start + MAX_OPS_PER_TXN]
