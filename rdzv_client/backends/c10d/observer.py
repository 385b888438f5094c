"""Hears of all that happens in a run, takes no part in it, and tells any number of readers."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from rdzv_client import wire
from rdzv_client.backends import StoreUnavailable
from rdzv_client.backends.c10d.layout import ALL, Layout, Store, announced, peek
from rdzv_client.backends.c10d.picture import Changes, PastRound, Picture

FIRST_READ_S: Final = 15.0
MOST_BEHIND: Final = 1000
# A wait that ends without success makes torch complain on stderr.
_FOREVER: Final = timedelta(days=365)


@dataclass(frozen=True)
class Listing:
    """All that stands in the run, and the rounds that were formed in it, the oldest first."""

    documents: Changes
    past: tuple[PastRound, ...]


class Reader:
    """What one reader has not been told yet."""

    def __init__(self) -> None:
        self._untold: queue.Queue[Changes] = queue.Queue(MOST_BEHIND)
        self._behind = False

    def next(self, timeout_s: float) -> Changes | None:
        """Return the next changes; none when there were none for so long.

        Returns:
            The changes; None when the reader is so far behind that it must list all again, from a
            new reader.
        """
        if self._behind:
            return None
        try:
            return self._untold.get(timeout=timeout_s)
        except queue.Empty:
            return {}

    def tell(self, changes: Changes) -> None:
        try:
            self._untold.put_nowait(changes)
        except queue.Full:
            self._behind = True


class Observer:
    """One run, observed by a thread on a connection of its own.

    There may be one observer of a run, as long as its store lives.

    Args:
        connect: Opens a connection to the store.
        keys: The run's keys.
        failed: Called when the connection is lost; nothing is heard any more.
    """

    def __init__(
        self, connect: Callable[[], Store], keys: wire.Keys, failed: Callable[[Exception], None]
    ) -> None:
        self._connect, self._failed = connect, failed
        self._layout = Layout(keys)
        self._picture = Picture(self._layout)
        self._readers: set[Reader] = set()
        self._lock = threading.Lock()
        self._listed = threading.Event()
        threading.Thread(target=self._observe, name="rendezvous-observer", daemon=True).start()

    @contextlib.contextmanager
    def reader(self) -> Iterator[tuple[Listing, Reader]]:
        """Give all as it is now, and a reader of what comes after.

        Raises:
            StoreUnavailable: the store was not read in time.
        """
        if not self._listed.wait(FIRST_READ_S):
            raise StoreUnavailable(f"it was not read within {FIRST_READ_S:g} s")
        reader = Reader()
        with self._lock:
            listing = self._list()
            self._readers.add(reader)
        try:
            yield listing, reader
        finally:
            with self._lock:
                self._readers.discard(reader)

    def _list(self) -> Listing:
        documents = dict(self._picture.documents)
        # The round comes last: it counts only with its ranks.
        round_ = documents.pop(self._layout.keys.round, None)
        if round_ is not None:
            documents[self._layout.keys.round] = round_
        return Listing(documents, tuple(self._picture.past))

    def _observe(self) -> None:
        try:
            store = self._connect()
            turn = store.add(self._layout.watch, 1)
            self._take(store, ALL.encode())
            self._listed.set()
            while True:
                store.wait([self._layout.watches(turn)], _FOREVER)
                turn = store.add(self._layout.watch, 1)
                for entry in announced(peek(store, self._layout.watches(turn - 1))):
                    self._take(store, entry)
                # A late announcer may have brought the last one back; it announced again by then.
                store.delete_key(self._layout.watches(turn - 2))
        except (RuntimeError, OSError) as error:
            self._failed(error)

    def _take(self, store: Store, entry: bytes) -> None:
        with self._lock:
            changes = self._picture.read(store, entry)
            for reader in self._readers if changes else ():
                reader.tell(changes)
