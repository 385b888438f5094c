"""Fields of a JSON document that is not trusted: each is of its type, or ResponseInvalid names it.

A field that is left out is the zero of its type, as the gateway means it.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from rdzv_client.etcdv3 import errors
from rdzv_client.etcdv3.messages import Document

_DECODER = json.JSONDecoder()
_LONGEST_NUMBER = 20  # of 64 bits, in characters
_SHOWN_CHARS = 200  # of something unexpected, in an error


def parse(raw: bytes, what: str) -> Document:
    """The JSON object in ``raw``."""
    try:
        value = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError) as error:
        raise errors.ResponseInvalid(f"{what} is not JSON ({error}): {shown(raw)}") from error
    if not isinstance(value, dict):
        raise errors.ResponseInvalid(f"{what}: expected an object, got {shown(raw)}")
    return value


def child(raw: Document, name: str) -> Document:
    value = raw.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    return value


def array(raw: Document, name: str) -> list[Any]:
    value = raw.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(name, "a list", value)
    return value


def children(raw: Document, name: str) -> list[Document]:
    items = array(raw, name)
    for item in items:
        if not isinstance(item, dict):
            raise _wrong(name, "a list of objects", item)
    return items


def integer(raw: Document, name: str) -> int:
    value = raw.get(name)
    if value is None:
        return 0
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and value.isascii():
        if value.removeprefix("-").isdigit():
            return int(value)
    elif type(value) is int:
        return value
    raise _wrong(name, "a 64-bit number", value)


def binary(raw: Document, name: str) -> bytes:
    value = raw.get(name)
    if value is None:
        return b""
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            pass
    raise _wrong(name, "base64", value)


def text(raw: Document, name: str) -> str:
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(name, "text", value)
    return value


def boolean(raw: Document, name: str) -> bool:
    value = raw.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return value


def _wrong(name: str, expected: str, value: object) -> errors.ResponseInvalid:
    return errors.ResponseInvalid(f"{name}: expected {expected}, got {shown(value)}")


def shown(value: object) -> str:
    if isinstance(value, bytes):
        value = value[: 4 * _SHOWN_CHARS].decode(errors="backslashreplace")
    text = str(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "..."
