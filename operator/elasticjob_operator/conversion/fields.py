"""A manifest read field by field, and notes of what becomes of it.

A field that nobody reads is noted, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]

UNKNOWN = "is left out: nothing here knows it"


class NotConvertible(Exception):
    """The job cannot be converted; the text says why."""


@dataclass(frozen=True)
class Note:
    """What the converted job lacks, or does in another way.

    Attributes:
        path: Where it stands in the job that was converted.
        words: What became of it, and why; goes on from the path.
    """

    path: str
    words: str


@dataclass(frozen=True)
class Converted:
    """An ElasticJob, and what is to be known about how it was made."""

    manifest: Manifest
    notes: tuple[Note, ...]

    @property
    def name(self) -> str:
        """The job's name."""
        metadata = self.manifest["metadata"]
        return str(metadata.get("name") or metadata.get("generateName"))


class Fields:
    """An object of the manifest, of which each field is taken once.

    Every method raises :class:`NotConvertible` where a field is not of the type that it must be.
    """

    def __init__(self, given: Any, path: str, notes: list[Note]) -> None:
        if given is not None and not isinstance(given, Mapping):
            raise NotConvertible(f"{path} must be an object, and is {given!r}")
        self._rest: dict[str, Any] = dict(given or {})
        self._children: list[Fields] = []
        self.path = path
        self.notes = notes

    def __contains__(self, name: str) -> bool:
        return self._rest.get(name) is not None

    def take(self, name: str) -> Any:
        """Return the field, or None."""
        return self._rest.pop(name, None)

    def integer(self, name: str) -> int | None:
        """Return the field, which must be a number from 0 on, or None."""
        found = self.take(name)
        if found is None or (isinstance(found, int) and not isinstance(found, bool) and found >= 0):
            return found
        raise NotConvertible(f"{self.path}.{name} must be a number from 0 on, and is {found!r}")

    def word(self, name: str, *allowed: str) -> str | None:
        """Return the field, which must be one of the words, if any are given, or None."""
        found = self.take(name)
        if found is None or (isinstance(found, str) and (not allowed or found in allowed)):
            return found or None
        must = f"one of {', '.join(allowed)}" if allowed else "text"
        raise NotConvertible(f"{self.path}.{name} must be {must}, and is {found!r}")

    def child(self, name: str) -> Fields:
        """Return the object that the field is, an empty one if it is not there."""
        child = Fields(self.take(name), f"{self.path}.{name}", self.notes)
        self._children.append(child)
        return child

    def items(self, name: str) -> list[Any]:
        """Return the list that the field is, an empty one if it is not there."""
        found = self.take(name)
        if found is None or isinstance(found, list):
            return found or []
        raise NotConvertible(f"{self.path}.{name} must be a list, and is {found!r}")

    def note(self, name: str, words: str) -> None:
        """Say what became of the field; without a name, of the whole object."""
        self.notes.append(Note(f"{self.path}.{name}" if name else self.path, words))

    def leave_out(self, words: str, *names: str) -> None:
        """Say of each of these fields that is there why it is left out."""
        for name in names:
            if name in self:
                self.note(name, f"is left out: {words}")
            self.take(name)

    def close(self) -> None:
        """Note what nobody has taken."""
        for child in self._children:
            child.close()
        for name, found in self._rest.items():
            if found is not None:
                self.note(name, UNKNOWN)
