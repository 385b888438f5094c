"""Documents to bytes and back; what is read is not trusted."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any, Final, TypeVar

from rdzv_client.wire.documents import (
    Drain,
    Gone,
    Left,
    Member,
    Progress,
    Rank,
    Round,
    Settings,
    Site,
    StoreAddress,
)
from rdzv_client.wire.errors import WireError
from rdzv_client.wire.keys import VERSION

MAX_DOCUMENT_BYTES: Final = 64 * 1024

Document = TypeVar("Document", Settings, Gone, Drain, Site, Member, Left, Round, Rank, Progress)

_DECODER: Final = json.JSONDecoder()
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True, default=vars)


Fields = tuple[tuple[str, tuple[type, ...], bool], ...]


def _fields(kind: type) -> Fields:
    """The fields of a document: name, types allowed, whether it must be there."""
    return tuple(
        (
            field.name,
            _types(field.type),
            field.default is field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
    )


def _types(annotation: Any) -> tuple[type, ...]:
    """The types that an annotation allows; of what is in a dict its document says more."""
    if isinstance(annotation, types.UnionType):
        return typing.get_args(annotation)
    return (typing.get_origin(annotation) or annotation,)


_FIELDS: Final[dict[type, Fields]] = {
    kind: _fields(kind) for kind in (*Document.__constraints__, StoreAddress)
}


def encode(document: Document) -> bytes:
    """Return the document as it stands in the store."""
    return _ENCODER.encode({"v": VERSION, **vars(document)}).encode()


def decode(kind: type[Document], key: str, value: bytes) -> Document:
    """Read a document.

    Args:
        kind: The class of the document that belongs under ``key``.
        key: Where it was read; for the error only.
        value: What was read.

    Raises:
        WireError: too large, not JSON, another version, a field that is missing or of the wrong
            type or out of range.
    """
    try:
        fields = _parse(value)
        return kind(**_typed(kind, fields))
    except WireError as error:
        raise WireError(f"{kind.__name__} document under {key!r}: {error}") from None


def _parse(value: bytes) -> dict[str, Any]:
    if len(value) > MAX_DOCUMENT_BYTES:
        raise WireError(f"{len(value)} bytes; at most {MAX_DOCUMENT_BYTES} are allowed")
    try:
        fields = _DECODER.decode(value.decode())
    except (ValueError, RecursionError):
        raise WireError("not valid JSON") from None
    if not isinstance(fields, dict):
        raise WireError(f"a JSON object was expected, not {type(fields).__name__}")
    if fields.get("v") != VERSION:
        raise WireError(f"version {fields.get('v')!r}; this client speaks version {VERSION}")
    return fields


def _typed(kind: type, fields: dict[str, Any]) -> dict[str, Any]:
    arguments = {}
    for name, allowed, required in _FIELDS[kind]:
        if name in fields:
            value = fields[name]
            plain = type(value) in allowed and (type(value) is not int or abs(value) < 2**63)
            arguments[name] = value if plain else _converted(name, allowed, value)
        elif required:
            raise WireError(f"field {name!r} is missing")
    return arguments


def _converted(name: str, allowed: tuple[type, ...], value: Any) -> Any:
    """What stands for a value of another type. Its own type is asked for: a bool is no number."""
    if StoreAddress in allowed and isinstance(value, dict):
        return StoreAddress(**_typed(StoreAddress, value))
    if float in allowed and type(value) is int and abs(value) < 2**53:
        return float(value)
    expected = " or ".join("null" if t is type(None) else t.__name__ for t in allowed)
    raise WireError(f"field {name!r} should be {expected}, not {type(value).__name__}")
