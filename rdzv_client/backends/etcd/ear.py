"""The thread that listens: it watches what the member has to hear of, and lists it."""

from __future__ import annotations

import functools
import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from rdzv_client import etcdv3
from rdzv_client.backends import Listener
from rdzv_client.backends.etcd import place as places
from rdzv_client.backends.etcd.place import Place, Self
from rdzv_client.etcdv3 import messages
from rdzv_client.replica import Record

log = logging.getLogger(__name__)

_RETRY_S: Final = 0.5


class Ear:
    """Hears of changes for one member, as long as that is registered.

    A watch from a revision that has passed is served by etcd only when it next catches up, every
    100 ms. So the watch comes first, from now on, and the listing after it; what the watch tells of
    and the listing has already is left out.

    Args:
        client: The client.
        me: The member.

    Attributes:
        leading: Whether nobody is before this member, and it hears of every change.
    """

    def __init__(self, client: etcdv3.Client, me: Self) -> None:
        self._client, self._me = client, me
        self.leading = False
        self._continuous = False
        self._open = threading.Event()
        self._registered = threading.Event()
        self._stopped = threading.Event()
        self._place: Place | None = None
        self._settling = threading.Lock()
        self._settled = False
        self._put_off: Callable[[], object] | None = None
        self._watch: etcdv3.Watch | None = None
        self._listener: Listener

    def start(self, listener: Listener) -> None:
        """Begin to listen; what is heard is told as soon as the member is registered."""
        self._listener = listener
        threading.Thread(target=self._listen, name="rendezvous-watch", daemon=True).start()

    def await_open(self, timeout_s: float) -> None:
        """Wait until the first watch is there, or has failed: who registers then need not list."""
        self._open.wait(timeout_s)

    def take_place(self, place: Place | None) -> None:
        """Take note that the member has just been registered, and may have another place."""
        again = self._registered.is_set()
        self._place = place
        self._registered.set()
        if again:
            self._relist()

    def settle(self) -> None:
        """Hear of the predecessor's end from now on, if that was put off while many joined."""
        with self._settling:
            self._settled = True
            if self._put_off:
                self._put_off()
            self._put_off = None

    def lapse(self) -> None:
        """Take note that the member's record is gone, and tell of it."""
        self.doubt()
        self._listener.lapsed()

    def doubt(self) -> None:
        """Tell the next listing as one with a gap: with the record, the rest may be gone, too."""
        self._continuous = False

    def stop(self) -> None:
        """Hear nothing from now on."""
        self._stopped.set()
        self._registered.set()
        self._relist()

    def _relist(self) -> None:
        if self._watch is not None:
            self._watch.close()

    # --- the thread ---

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow_changes()
            except etcdv3.Resync as error:
                log.info("Listing the run again: %s", error)
                self._continuous = False
            except (etcdv3.EtcdError, OSError) as error:
                self._continuous = False  # what comes back may be another store, or an older one
                self._listener.unreachable(error)
                self._open.set()
                self._stopped.wait(_RETRY_S)

    def _follow_changes(self) -> None:
        """Watch and list until leadership may have changed or the watch cannot go on."""
        self.leading = False
        place, heard = self._given_place(), places.heard(self._me)
        start = place.listing.revision + 1 if place else 0
        with self._client.watch(heard, start) as watch:
            self._watch = watch
            early: list[messages.WatchBatch] = []
            if place is None:
                since, early = _created(watch, range(1, len(heard) + 1))
                self._open.set()
                self._registered.wait()
                place = self._place_since(since)
            if self._stopped.is_set():
                return
            if place is None:
                self._await_registration()
            elif place.predecessor is None:
                self._hear_everything(watch, len(heard))
            else:
                self._miss(watch, place, messages.one(place.predecessor, deletes_only=True))
                self._tell_all(place, itertools.chain(early, watch))

    def _given_place(self) -> Place | None:
        place, self._place = self._place, None
        return place

    def _place_since(self, revision: int) -> Place | None:
        """Where the member stands by a listing that is not older than its watch."""
        place = self._given_place()
        if place and place.listing.revision >= revision:
            return place
        return places.find(self._client, self._me)

    def _miss(self, watch: etcdv3.Watch, place: Place, predecessor: messages.KeyRange) -> None:
        """Watch for the predecessor's end; who stands far back puts that off while many join."""
        add = functools.partial(watch.add, predecessor, place.listing.revision + 1)
        with self._settling:
            if place.in_line and not self._settled:
                self._put_off = add
            else:
                add()

    def _hear_everything(self, watch: etcdv3.Watch, followed: int) -> None:
        """Go on as one who leads."""
        everything = places.everything(self._me)
        every = watch.add(everything)
        for watch_id in range(1, followed + 1):
            watch.cancel(watch_id)
        _, early = _created(watch, [every])
        listing = self._client.range(messages.Get(everything))
        if any(kv.key == self._me.key for kv in listing.kvs):
            self._tell_all(Place(None, listing), itertools.chain(early, watch))
        else:
            self._await_registration()

    def _tell_all(self, place: Place, batches: Iterable[messages.WatchBatch]) -> None:
        """Tell of a listing, and of what happens after it until the predecessor is gone."""
        self._listener.listed(map(_record, place.listing.kvs), continuous=self._continuous)
        self._continuous = True
        self.leading = place.predecessor is None
        self._listener.changed([], [])
        for batch in batches:
            events = [e for e in batch.events if e.kv.mod_revision > place.listing.revision]
            deletes = [event.kv.key for event in events if event.kind == "delete"]
            if self._me.keys.round in deletes:  # nobody deletes it: the store forgot the run
                raise etcdv3.Resync("the round record has vanished")
            self._tell([_record(event.kv) for event in events if event.kind == "put"], deletes)
            if place.predecessor in deletes:
                return

    def _tell(self, puts: list[Record], deletes: list[str]) -> None:
        if puts or deletes:
            self._listener.changed(puts, deletes)
        if self._me.key in deletes:
            self.leading = False
            self.lapse()

    def _await_registration(self) -> None:
        self.lapse()
        self._registered.clear()
        if not self._stopped.is_set():
            self._registered.wait(_RETRY_S)


def _created(
    watch: Iterator[messages.WatchBatch], watch_ids: Iterable[int]
) -> tuple[int, list[messages.WatchBatch]]:
    """Wait until ranges are watched.

    Returns:
        The revision since when nothing is missed, and what has been heard already.
    """
    missing, since = set(watch_ids), 0
    early: list[messages.WatchBatch] = []
    while missing and (batch := next(watch, None)):
        if batch.created and batch.watch_id in missing:
            missing.remove(batch.watch_id)
            since = max(since, batch.revision)
        early.append(batch)
    return since, early


def _record(kv: messages.KeyValue) -> Record:
    return Record(kv.key, kv.value, kv.create_revision, kv.mod_revision)
