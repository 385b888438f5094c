"""The thread that listens: it lists what the member has to hear of, and then watches it."""

from __future__ import annotations

import logging
import threading
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
        self._registered = threading.Event()
        self._stopped = threading.Event()
        self._place: Place | None = None
        self._watch: etcdv3.Watch | None = None
        self._listener: Listener

    def start(self, listener: Listener) -> None:
        """Begin to listen as soon as the member is registered."""
        self._listener = listener
        threading.Thread(target=self._listen, name="rendezvous-watch", daemon=True).start()

    def take_place(self, place: Place | None) -> None:
        """Listen anew: the member has just been registered, and may have another place."""
        self._place = place
        self._registered.set()
        self._relist()

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
        self._registered.wait()
        while not self._stopped.is_set():
            try:
                self._follow_changes()
            except etcdv3.Resync as error:
                log.info("Listing the run again: %s", error)
                self._continuous = False
            except (etcdv3.EtcdError, OSError) as error:
                self._continuous = False  # what comes back may be another store, or an older one
                self._listener.unreachable(error)
                self._stopped.wait(_RETRY_S)

    def _follow_changes(self) -> None:
        """List, then watch until leadership may have changed or the watch cannot go on."""
        self.leading = False
        place, self._place = self._place, None
        place = place or places.find(self._client, self._me)
        if place is None:
            self._await_registration()
            return
        predecessor, listing = place.predecessor, place.listing
        ranges = places.watched(self._me, predecessor)
        with self._client.watch(ranges, listing.revision + 1) as watch:
            self._watch = watch
            self._listener.listed(map(_record, listing.kvs), continuous=self._continuous)
            self._continuous = True
            self.leading = predecessor is None
            self._listener.changed([], [])
            for batch in watch:
                self._confirm_round(batch)
                self._tell(batch)
                if any(e.kind == "delete" and e.kv.key == predecessor for e in batch.events):
                    return

    def _confirm_round(self, batch: messages.WatchBatch) -> None:
        """Nobody deletes a round record: where it is gone, the store has forgotten the run."""
        if any(e.kind == "delete" and e.kv.key == self._me.keys.round for e in batch.events):
            raise etcdv3.Resync("the round record has vanished")

    def _tell(self, batch: messages.WatchBatch) -> None:
        puts = [_record(event.kv) for event in batch.events if event.kind == "put"]
        deletes = [event.kv.key for event in batch.events if event.kind == "delete"]
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


def _record(kv: messages.KeyValue) -> Record:
    return Record(kv.key, kv.value, kv.create_revision, kv.mod_revision)
