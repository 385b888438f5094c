"""What workers write of themselves, made fit to be told: it is theirs, and they run anybody's code.

A status that is too large cannot be written at all, and not every JSON text is text.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, TypeVar

from rdzv_client import wire

NAME_CHARS: Final = 253
REASON_CHARS: Final = 1024

Document = TypeVar(
    "Document",
    wire.Settings,
    wire.Member,
    wire.Left,
    wire.Round,
    wire.Rank,
    wire.Drain,
    wire.Site,
)


def read(kind: type[Document], key: str, value: bytes) -> Document:
    """Read a document; its texts are cut to a length, and what is no text in them is replaced.

    Raises:
        WireError: it is not what belongs under this key.
    """
    document = wire.decode(kind, key, value)
    fit = {field: _fit(field, content) for field, content in vars(document).items()}
    return dataclasses.replace(document, **fit)


def _fit(field: str, content: Any) -> Any:
    if not isinstance(content, str):
        return content
    longest = NAME_CHARS if field in {"name", "node"} else REASON_CHARS
    return content[:longest].encode(errors="replace").decode()
