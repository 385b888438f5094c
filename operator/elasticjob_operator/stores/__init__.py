"""A job's rendezvous store, as the operator uses it, whatever kind it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from elasticjob_operator.mirror import Mirror
from elasticjob_operator.stores.access import NOTHING, Access


class StoreError(Exception):
    """The store did not do what it was asked to; the text says why."""


@dataclass(frozen=True)
class Etcd:
    """Where an etcd is, and what it takes to be let in."""

    urls: tuple[str, ...]
    access: Access = NOTHING


@dataclass(frozen=True)
class C10dHost:
    """Where the host of a TCPStore has its bridge, and what it takes to be let in."""

    url: str
    token: str = field(repr=False)


Where = Etcd | C10dHost


class Store(Protocol):
    """One run in its store. Every call raises :class:`StoreError` when the store did not do it."""

    def listen(self, mirror: Mirror) -> AsyncIterator[None]:
        """List all into the mirror, then every change.

        Yields whenever the mirror is up to date; ends by an error alone.
        """

    async def write(self, documents: Mapping[str, bytes], removed: Sequence[str] = ()) -> None:
        """Write these documents of the operator's own, by key, all at once.

        Args:
            documents: The documents.
            removed: Keys of members that are out by this.
        """

    async def empty(self) -> None:
        """Delete all that belongs to the run."""
