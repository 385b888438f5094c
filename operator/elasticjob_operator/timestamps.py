"""Time as Kubernetes writes it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final, Literal

EPOCH: Final = datetime.fromtimestamp(0, timezone.utc)


def instant(text: str | None) -> datetime | None:
    """Read a Kubernetes time stamp."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def stamp(at: datetime, precision: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """Write a Kubernetes time stamp."""
    return at.astimezone(timezone.utc).isoformat(timespec=precision).replace("+00:00", "Z")
