"""A store with etcd's semantics on virtual time: revisions, leases, fenced transactions, watches.

It exists so that thousands of schedules can be tried in seconds. What it promises is checked
against a real etcd by the contract tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rdzv_client.replica import Record


@dataclass(frozen=True)
class Write:
    """One transaction: all of it, or nothing when a comparison fails.

    Attributes:
        owner: Who writes; keys put with ``leased`` go when its lease does.
        created: Keys and the create revision they must have; 0 for a key that must not exist.
        modified: The same for the revision of the last change.
    """

    owner: str
    puts: Mapping[str, bytes] = field(default_factory=dict)
    deletes: tuple[str, ...] = ()
    created: Mapping[str, int] = field(default_factory=dict)
    modified: Mapping[str, int] = field(default_factory=dict)
    leased: bool = False


@dataclass(frozen=True)
class Change:
    """One key that was put (``record``) or deleted (None)."""

    key: str
    record: Record | None


class Store:
    """The state; the simulator calls it when a message arrives."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.revision = 0
        self._lease_of: dict[str, str] = {}
        self.expires_at: dict[str, float] = {}

    def apply(self, write: Write) -> tuple[bool, list[Change]]:
        """Carry out a transaction; return whether it held, and what changed."""
        if not self._holds(write):
            return False, []
        self.revision += 1
        changes = [self._put(key, value, write) for key, value in write.puts.items()]
        return True, changes + self._delete(write.deletes)

    def _holds(self, write: Write) -> bool:
        created = all(self.created(key) == rev for key, rev in write.created.items())
        return created and all(self._modified(key) == rev for key, rev in write.modified.items())

    def created(self, key: str) -> int:
        """Return when a key was created; 0 when there is none."""
        return self.records[key].create_revision if key in self.records else 0

    def _modified(self, key: str) -> int:
        return self.records[key].mod_revision if key in self.records else 0

    def _put(self, key: str, value: bytes, write: Write) -> Change:
        created = self.created(key) or self.revision
        self.records[key] = Record(key, value, created, self.revision)
        if write.leased:
            self._lease_of[key] = write.owner
        return Change(key, self.records[key])

    def _delete(self, keys: tuple[str, ...]) -> list[Change]:
        present = [key for key in keys if self.records.pop(key, None)]
        return [Change(key, None) for key in present]

    def expire(self, now: float) -> list[Change]:
        """Drop the leases that have run out by ``now``, and their keys."""
        dead = {owner for owner, at in self.expires_at.items() if at <= now}
        if not dead:
            return []
        for owner in dead:
            del self.expires_at[owner]
        keys = tuple(key for key, owner in self._lease_of.items() if owner in dead)
        for key in keys:
            del self._lease_of[key]
        if keys:
            self.revision += 1
        return self._delete(keys)

    def empty(self) -> None:
        """Forget everything, as a new server at the same address has."""
        self.__init__()  # type: ignore[misc]
