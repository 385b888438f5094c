"""The line of a log that says why a program failed (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

LINE_CHARS: Final = 512
TRACEBACK_CHARS: Final = 2048

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
_CLIENT_TELLS: Final = re.compile(
    r".*\bWorker of rank (?P<rank>\d{1,9}) \(local rank (?P<local_rank>\d{1,9})\)"
    r" (?:failed with exit code (?P<code>\d{1,3})|was ended by signal (?P<signal>\d{1,3}))"
    r"(?:: (?P<words>.*))?$"
)
"""As ``rdzv_client.worker_failure`` puts it."""
_QUOTED: Final = "  | "
_ECHOES: Final = re.compile(
    r"DistBackendError|DistNetworkError|ncclRemoteError|NCCL (?:error|communicator|watchdog)"
    r"|Connection (?:closed|reset) by peer|Broken pipe|gloo/transport",
    re.IGNORECASE,
)
_CLIENTS_OWN: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} rendezvous: ")
"""What it says of rounds is no worker's last word."""
_OUT_OF_MEMORY: Final = "out of memory: the kernel killed "
"""As ``rdzv_client.memory`` puts it."""
_LAUNCHERS_OWN: Final = "torch.distributed.elastic.multiprocessing."
_LAUNCHER_TELLS: Final = re.compile(r".*\bfailed \(exitcode: (?P<code>-?\d+)\)")


@dataclass(frozen=True)
class LastWords:
    """What a log says of a failure.

    Attributes:
        line: The line that says what went wrong; empty when there is none.
        exit_code: Of the worker that failed last, as its launcher saw it; below 0 the signal that
            ended it.
        rank: The worker's, among all.
        local_rank: The worker's, in its pod.
        traceback: The end of it, where the script records its exceptions.
    """

    line: str = ""
    exit_code: int | None = None
    rank: int | None = None
    local_rank: int | None = None
    traceback: str = ""

    @property
    def echoes(self) -> bool:
        """Whether this is what a collective says when a peer has failed."""
        return bool(_ECHOES.search(self.line))

    @property
    def lacked_memory(self) -> bool:
        """Whether the kernel has killed a process of the container for lack of memory."""
        return self.line.startswith(_OUT_OF_MEMORY)


def read(log: str) -> LastWords:
    """Return what the end of this log says of a failure."""
    lines = log.splitlines()
    told = [at for at, line in enumerate(lines) if _CLIENT_TELLS.match(line)]
    if told:
        since = told[-2] + 1 if len(told) > 1 else 0
        return _as_the_client_tells(lines[since:], told[-1] - since)
    codes = [found["code"] for line in lines if (found := _LAUNCHER_TELLS.match(line))]
    return LastWords(find(log), int(codes[-1]) if codes else None)


def find(log: str) -> str:
    """Return the line of a log's end that says what went wrong, empty when the log is.

    That is what the script has recorded; else the last exception or complaint of the training
    itself; else how the launcher saw its worker end, with what was written just before; else the
    last line.
    """
    written = [line.strip() for line in log.splitlines() if line.strip()]
    lines = [line for line in written if not _CLIENTS_OWN.match(line)] or written
    said = _complaint(lines) or _launchers_word(lines) or "".join(lines[-1:])
    return said[:LINE_CHARS]


def _as_the_client_tells(lines: Sequence[str], at: int) -> LastWords:
    found = _CLIENT_TELLS.match(lines[at])
    assert found
    quoted = takewhile(lambda line: line.startswith(_QUOTED), lines[at + 1 :])
    traceback = "\n".join(line.removeprefix(_QUOTED) for line in quoted)
    others = [line for line in lines[:at] if not line.startswith(_QUOTED)]
    return LastWords(
        line=(found["words"] or find("\n".join(others)))[:LINE_CHARS],
        exit_code=int(found["code"]) if found["code"] else -int(found["signal"]),
        rank=int(found["rank"]),
        local_rank=int(found["local_rank"]),
        traceback=traceback[-TRACEBACK_CHARS:],
    )


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
