"""All keys of a run in one document, for a store that holds a single value per run (pure).

The document is versioned JSON and bounded in size; it is never unpickled::

    {"v": 1, "run": "<run id>", "epoch": 123, "revision": 130,
     "beats": {"<member>": 7, ...},
     "records": {"<key>": [<created>, <changed>, "<value>"], ...}}

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
        if self.records is there:
            return [], []
        puts = [record for key, record in self.records.items() if there.get(key) != record]
        return (
            sorted(puts, key=lambda record: record.mod_revision),
            [key for key in there if key not in self.records],
        )


def member_of(key: str) -> str:
    """Return the id of the member whose record stands under a key."""
    return key.rpartition("/")[2]


@dataclass(frozen=True)
class Written:
    """A document and the bytes it stands in.

    The next one mostly differs in beats alone. Then its records need not be read or written anew:
    they are the end of the bytes.
    """

    state: bytes
    document: Document

    @property
    def tail(self) -> bytes:
        """The bytes from the records on; none if another writer has put them elsewhere."""
        position = self.state.find(_RECORDS)
        return self.state[position:] if position >= 0 else b""


_RECORDS: Final = b',"records":'


def encode(document: Document, like: Written | None = None) -> bytes:
    """Return the document as it stands in the store.

    Args:
        document: What is to be written.
        like: One that may have the same records.

    Raises:
        WireError: it would be too large.
    """
    fields = {
        "v": wire.VERSION,
        "run": document.keys.run_id,
        "epoch": document.epoch,
        "revision": document.revision,
        "beats": document.beats,
    }
    same = like is not None and like.document.records == document.records
    tail = like.tail if like and same else b""
    state = _json(fields)[:-1] + (tail or _encoded_records(document))
    _require_size(state)
    return state


def _encoded_records(document: Document) -> bytes:
    prefix = document.keys.prefix
    records = {
        key.removeprefix(prefix): [
            record.create_revision,
            record.mod_revision,
            record.value.decode(errors="surrogatepass"),
        ]
        for key, record in document.records.items()
    }
    return _RECORDS + _json(records) + b"}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def decode(keys: wire.Keys, state: bytes, like: Written | None = None) -> Document:
    """Read a document. Whether its records are valid is left to who reads them.

    Args:
        keys: The keys of the run it should belong to.
        state: What was read.
        like: One that may have the same records.

    Raises:
        WireError: too large, not JSON, another version, another run, or not of this form.
    """
    try:
        _require_size(state)
        return (like and _decoded_like(like, keys, state)) or _decoded(keys, _parsed(state))
    except wire.WireError as error:
        raise wire.WireError(f"the state of run {keys.run_id!r}: {error}") from None


def _decoded_like(like: Written, keys: wire.Keys, state: bytes) -> Document | None:
    """Read a document that ends as the other does; None if it does not."""
    tail = like.tail
    if not tail or not state.endswith(tail):
        return None
    try:
        # If this is whole, what was cut off stood beside it.
        document = _decoded(keys, {"records": {}, **_parsed(state[: -len(tail)] + b"}")})
    except wire.WireError:
        return None
    if document.records or document.revision < like.document.revision:
        return None
    return replace(document, records=like.document.records)


def _parsed(state: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(state)
    except (ValueError, RecursionError):
        raise wire.WireError("not valid JSON") from None
    if not isinstance(fields, dict):
        raise wire.WireError(f"a JSON object was expected, not {type(fields).__name__}")
    return fields


def _decoded(keys: wire.Keys, fields: Mapping[str, Any]) -> Document:
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
