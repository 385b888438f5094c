"""The line of a log that says why a program failed (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LINE_CHARS: Final = 512

_WORKER = r"\s*(?:\[\w+\]:\s*)?"  # torchrun can put a worker's name before its lines
_COMPLAINTS: Final = (
    re.compile(
        rf"^{_WORKER}(?P<words>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Failure|Interrupt)\b.*)$"
    ),
    re.compile(
        rf"^{_WORKER}(?P<words>.*(?:"
        r"\b(?:error|fatal|panic)\b:|: not found$|command not found|No such file or directory"
        r"|Permission denied|Segmentation fault|Illegal instruction|Out of memory).*)$",
        re.IGNORECASE,
    ),
)
_LAUNCHERS_OWN: Final = "torch.distributed.elastic.multiprocessing."
_LAUNCHER_TELLS: Final = re.compile(r".*\bfailed \(exitcode: (?P<code>-?\d+)\)")


@dataclass(frozen=True)
class LastWords:
    """What a log says of a failure.

    Attributes:
        line: The line that says what went wrong; empty when there is none.
        exit_code: Of the worker that failed last, as its launcher saw it; below 0 the signal that
            ended it.
    """

    line: str = ""
    exit_code: int | None = None


def read(log: str) -> LastWords:
    """Return what the end of this log says of a failure."""
    told = [found for line in log.splitlines() if (found := _LAUNCHER_TELLS.match(line))]
    return LastWords(find(log), int(told[-1]["code"]) if told else None)


def find(log: str) -> str:
    """Return the line of a log's end that says what went wrong, empty when the log is.

    That is the last exception or complaint of the training itself; else how the launcher saw its
    worker end, with what was written just before; else the last line.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = _complaint(lines) or _launchers_word(lines) or "".join(lines[-1:])
    return said[:LINE_CHARS]


def _complaint(lines: Sequence[str]) -> str:
    for line in reversed(lines):
        for pattern in _COMPLAINTS:
            found = pattern.match(line)
            if found and not found["words"].startswith(_LAUNCHERS_OWN):
                return found["words"]
    return ""


def _launchers_word(lines: Sequence[str]) -> str:
    for before, line in reversed(list(zip(["", *lines], lines, strict=False))):
        if found := _LAUNCHER_TELLS.match(line):
            code = int(found["code"])
            ended = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
            return f"{before} ({ended})" if before else f"its worker: {ended}"
    return ""
