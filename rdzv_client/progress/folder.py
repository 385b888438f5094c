"""Reading what the workers of a node say of their progress: anybody's code wrote it."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rdzv_client import wire

log = logging.getLogger(__name__)

MAX_FILES: Final = 256
MAX_BYTES: Final = 16 * 1024
_SUFFIX: Final = ".json"


@dataclass(frozen=True)
class Said:
    """What one process says of itself; the fields are those of :class:`rdzv_client.wire.Progress`.

    Attributes:
        at: When it was written, in seconds on the clock of the files.
    """

    step: int
    epoch: float | None = None
    metrics: dict[str, str] = field(default_factory=dict)
    step_s: float | None = None
    at: float = 0.0


class NotUnderstood(Exception):
    """What a process wrote is not what it should be; the text says how."""


class Folder:
    """A folder with a file for each process that says how far it has come.

    What is no such file is left out, which is said once in the log.

    Args:
        path: The folder; nobody may have made it yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: dict[str, tuple[os.stat_result, Said | None]] = {}
        self._complained = False

    def clear(self) -> None:
        """Remove what processes have said that are no more."""
        for name in self._names():
            with contextlib.suppress(OSError):
                (self._path / name).unlink()
        self._read = {}

    def furthest(self) -> Said | None:
        """Return what the process says that has come furthest; None when none says anything."""
        self._read = {name: entry for name in self._names() if (entry := self._entry(name))}
        said = [said for _, said in self._read.values() if said]
        return max(said, key=lambda one: one.step, default=None)

    def _names(self) -> list[str]:
        try:
            with os.scandir(self._path) as entries:
                names = (entry.name for entry in entries if entry.name.endswith(_SUFFIX))
                return sorted(itertools.islice(names, MAX_FILES))
        except OSError:
            return []

    def _entry(self, name: str) -> tuple[os.stat_result, Said | None] | None:
        """Return the file as it is known, or read it if it has changed; None if it is gone."""
        path = self._path / name
        with contextlib.suppress(OSError):
            there, known = path.lstat(), self._read.get(name)
            if known and _is_same(known[0], there):
                return known
            return there, self._parsed(path, there)
        return None

    def _parsed(self, path: Path, there: os.stat_result) -> Said | None:
        try:
            return parse(_content(path, there), there.st_mtime)
        except NotUnderstood as error:
            if not self._complained:
                self._complained = True
                log.warning("Ignored what %s says of progress (said once): %s", path, error)
            return None


def parse(content: bytes, at: float) -> Said:
    """Read what a process says.

    Args:
        content: What it wrote.
        at: When it did.

    Raises:
        NotUnderstood: it is not what it should be.
    """
    try:
        said = json.loads(content.decode())
    except (ValueError, RecursionError):
        raise NotUnderstood("it is not valid JSON") from None
    if not isinstance(said, dict):
        raise NotUnderstood(f"it must be a JSON object such as {{'step': 1}}, not {_shown(said)}")
    step = said.get("step")
    if type(step) is not int or not 0 <= step <= wire.MAX_STEP:
        raise NotUnderstood(f"step must be a whole number from 0, not {_shown(step)}")
    return Said(
        step=step,
        epoch=_number(said, "epoch"),
        metrics=_metrics(said.get("metrics") or {}),
        step_s=_number(said, "step_seconds"),
        at=at,
    )


def _number(said: dict[str, Any], name: str) -> float | None:
    value = said.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value < wire.MAX_NUMBER:
        raise NotUnderstood(f"{name} must be a number from 0, not {_shown(value)}")
    return float(value)


def _metrics(given: Any) -> dict[str, str]:
    """Return the first of the metrics as text: NaN is worth telling, and is no JSON."""
    if not isinstance(given, dict):
        raise NotUnderstood(f"metrics must be an object of numbers by name, not {_shown(given)}")
    metrics = {}
    for name, value in itertools.islice(given.items(), wire.MAX_METRICS):
        if not wire.METRIC_NAME.fullmatch(name):
            raise NotUnderstood(f"the name of a metric may not be {_shown(name)}")
        if type(value) not in (int, float):
            raise NotUnderstood(f"metrics[{name!r}] must be a number, not {_shown(value)}")
        try:
            metrics[name] = f"{value:.6g}"
        except OverflowError:
            raise NotUnderstood(f"metrics[{name!r}] is too large") from None
    return metrics


def _content(path: Path, there: os.stat_result) -> bytes:
    """Read a regular file, and never more of it than it may have."""
    if not stat.S_ISREG(there.st_mode):
        raise NotUnderstood("it is not a file")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise NotUnderstood(f"it has more than {MAX_BYTES} bytes")
    return content


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_mtime_ns, one.st_size) == (
        other.st_ino,
        other.st_mtime_ns,
        other.st_size,
    )


def _shown(value: object) -> str:
    return repr(value)[:80]
