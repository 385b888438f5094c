"""All keys of a run in one document, for a store that holds a single value per run (pure).

The document is versioned JSON and bounded in size; it is never unpickled::

    {"v": 1, "run": "<run id>", "epoch": 123, "revision": 130,
     "records": {"<key>": [<created>, <changed>, "<value>"], ...},
     "beats": {"<member>": 7, ...}}

Keys stand without the run's prefix, values as the text of their own documents (see
:mod:`rdzv_client.wire`). A revision counts the changes of the whole document. It begins at the
epoch, a random number, so that a revision of a document that was lost never fits another one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from rdzv_client import wire
from rdzv_client.replica import Record

MAX_STATE_BYTES: Final = 16 * 1024 * 1024
EPOCH_BITS: Final = 48
_MAX_REVISION: Final = 2**62


@dataclass
class Document:
    """A run's keys; the one that holds nothing, of epoch 0, stands for a state that is not there.

    Attributes:
        keys: The run's keys.
        epoch: Tells a document from one that was begun anew.
        revision: Grows with every change.
        records: By their full key.
        beats: Member id to how many signs of life it has given.
    """

    keys: wire.Keys
    epoch: int = 0
    revision: int = 0
    records: dict[str, Record] = field(default_factory=dict)
    beats: dict[str, int] = field(default_factory=dict)

    def draft(self, epoch: int) -> Document:
        """Return a copy to be changed, of the next revision.

        Args:
            epoch: Of the new document, if there is none yet.
        """
        begun = self if self.epoch else replace(self, epoch=epoch, revision=epoch)
        copies = {"records": dict(begun.records), "beats": dict(begun.beats)}
        return replace(begun, revision=begun.revision + 1, **copies)  # type: ignore[arg-type]

    def put(self, key: str, value: bytes) -> None:
        """Create or change a record."""
        there = self.records.get(key)
        created = there.create_revision if there else self.revision
        self.records[key] = Record(key, value, created, self.revision)

    def delete(self, key: str) -> None:
        """Remove a record, and the beats of the member whose it was."""
        self.records.pop(key, None)
        if key.startswith(self.keys.members):
            self.beats.pop(member_of(key), None)

    def beat(self, member: str) -> None:
        """Give a sign of life."""
        self.beats[member] = self.beats.get(member, 0) + 1

    def under(self, prefix: str) -> list[Record]:
        """Return the records under a prefix, the oldest first."""
        found = [record for key, record in self.records.items() if key.startswith(prefix)]
        return sorted(found, key=lambda record: (record.create_revision, record.key))

    def follows(self, older: Document) -> bool:
        """Whether this is what became of an older document, and not another or an earlier one."""
        return self.epoch == older.epoch and self.revision >= older.revision

    def changes_since(self, older: Document) -> tuple[list[Record], list[str]]:
        """Return the records that are new or other than they were, and the keys that are gone."""
        there = older.records
        puts = [record for key, record in self.records.items() if there.get(key) != record]
        return (
            sorted(puts, key=lambda record: record.mod_revision),
            [key for key in there if key not in self.records],
        )


def member_of(key: str) -> str:
    """Return the id of the member whose record stands under a key."""
    return key.rpartition("/")[2]


def encode(document: Document) -> bytes:
    """Return the document as it stands in the store.

    Raises:
        WireError: it would be too large.
    """
    prefix = document.keys.prefix
    records = {
        key.removeprefix(prefix): [
            r.create_revision,
            r.mod_revision,
            r.value.decode(errors="surrogatepass"),
        ]
        for key, r in document.records.items()
    }
    fields = {
        "v": wire.VERSION,
        "run": document.keys.run_id,
        "epoch": document.epoch,
        "revision": document.revision,
        "records": records,
        "beats": document.beats,
    }
    state = json.dumps(fields, separators=(",", ":")).encode()
    _require_size(state)
    return state


def decode(keys: wire.Keys, state: bytes) -> Document:
    """Read a document. Whether its records are valid is left to who reads them.

    Raises:
        WireError: too large, not JSON, another version, another run, or not of this form.
    """
    try:
        return _decode(keys, state)
    except wire.WireError as error:
        raise wire.WireError(f"the state of run {keys.run_id!r}: {error}") from None


def _decode(keys: wire.Keys, state: bytes) -> Document:
    _require_size(state)
    try:
        fields = json.loads(state)
    except (ValueError, RecursionError):
        raise wire.WireError("not valid JSON") from None
    if not isinstance(fields, dict):
        raise wire.WireError(f"a JSON object was expected, not {type(fields).__name__}")
    if fields.get("v") != wire.VERSION:
        raise wire.WireError(
            f"version {fields.get('v')!r}; this client speaks version {wire.VERSION}"
        )
    if fields.get("run") != keys.run_id:
        raise wire.WireError(f"it belongs to run {fields.get('run')!r}")
    epoch = _revision("epoch", fields.get("epoch"), 1, _MAX_REVISION)
    revision = _revision("revision", fields.get("revision"), epoch, _MAX_REVISION)
    records = {
        keys.prefix + key: _record(keys.prefix + key, entry, revision)
        for key, entry in _table("records", fields.get("records")).items()
    }
    beats = {
        member: _revision("a beat", beats, 0, _MAX_REVISION)
        for member, beats in _table("beats", fields.get("beats")).items()
    }
    return Document(keys, epoch, revision, records, beats)


def _require_size(state: bytes) -> None:
    if len(state) > MAX_STATE_BYTES:
        raise wire.WireError(f"{len(state)} bytes; at most {MAX_STATE_BYTES} are allowed")


def _table(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise wire.WireError(f"{name!r} should be an object, not {type(value).__name__}")
    return value


def _record(key: str, entry: Any, newest: int) -> Record:
    if not (isinstance(entry, list) and len(entry) == 3 and isinstance(entry[2], str)):
        raise wire.WireError(f"the entry of {key!r} should be two revisions and a text")
    changed = _revision(f"the revision of {key!r}", entry[1], 0, newest)
    created = _revision(f"the revision of {key!r}", entry[0], 0, changed)
    return Record(key, entry[2].encode(errors="surrogatepass"), created, changed)


def _revision(what: str, value: Any, least: int, most: int) -> int:
    # bool is an int to isinstance, and never meant where a number stands.
    if type(value) is not int or not least <= value <= most:
        raise wire.WireError(f"{what} should be a number from {least} to {most}")
    return value
