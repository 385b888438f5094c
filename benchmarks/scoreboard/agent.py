"""One agent of a job, and what its workers were seen to do."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_ERROR: Final = re.compile(
    r"^(?:\[[^\]]*\]:)?\s*((?:[A-Za-z_]\w*\.)*[A-Za-z]\w*(?:[Ee]rror|Exception)\b.*)"
)
_ATTEMPT: Final = "Rendezvous'ing worker group"


@dataclass(frozen=True)
class Event:
    """One event of a worker; ``at`` is in seconds on the clock of ``time.monotonic``."""

    agent: str
    event: str
    at: float
    pid: int
    more: Mapping[str, Any]


@dataclass
class Agent:
    """One ``torchrun``: its process, its log with the time of each line, and its end."""

    name: str
    process: subprocess.Popen[str]
    began: float
    reader: threading.Thread | None = None
    log: list[tuple[float, str]] = field(default_factory=list)
    ended_at: float | None = None

    @property
    def code(self) -> int | None:
        """Its exit code once it has ended; None before."""
        return self.process.returncode if self.ended_at is not None else None

    @property
    def attempted_at(self) -> float:
        """When it entered the rendezvous for the first time."""
        return next((at for at, line in self.log if _ATTEMPT in line), self.began)

    @property
    def waited_s(self) -> float:
        """How long it was from its first attempt to its end."""
        return (self.ended_at or time.monotonic()) - self.attempted_at

    def says(self, words: str) -> bool:
        """Whether the words stand in its log."""
        return any(words in line for _, line in self.log)

    def last_error(self) -> str:
        """The last line of its log that names an exception."""
        errors = [match[1] for _, line in self.log if (match := _ERROR.match(line))]
        return errors[-1][:160] if errors else "no error named"


def children(pid: int) -> Sequence[int]:
    """Return the processes that a process has started."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in words.split()]
