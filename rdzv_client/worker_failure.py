"""Which of this node's workers failed first, in words.

torchrun's agent knows it and keeps it to itself: it says an exit code and starts the workers again,
and what a script has recorded (``torch.distributed.elastic.multiprocessing.errors.record``) stands
in a file that ends with the pod. The words are for the pod's log and its termination message::

    Worker of rank 3 (local rank 1) failed with exit code 1: ValueError: the rate is -1
      | Traceback (most recent call last):
      | ...
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from torch.distributed.elastic.agent.server.api import RunResult
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

TERMINATION_LOG: Final = "RDZV_TERMINATION_LOG"
"""The variable that names the file from which Kubernetes takes a container's last words."""

LINE_CHARS: Final = 512
TRACEBACK_LINES: Final = 20
TRACEBACK_CHARS: Final = 160
MESSAGE_BYTES: Final = 4096
"""Of a longer message Kubernetes keeps the end, and the beginning says more."""

_NOT_RECORDED: Final = "<N/A>"


@dataclass(frozen=True)
class WorkerFailure:
    """The failure of a worker.

    Attributes:
        exit_code: Below 0 the signal that ended it.
        said: What the script recorded, in one line, and what else is known; empty if nothing is.
        traceback: The end of it, line by line.
    """

    rank: int
    local_rank: int
    exit_code: int
    said: str = ""
    traceback: tuple[str, ...] = ()

    def because(self, cause: str) -> WorkerFailure:
        """Return the failure with a cause that the script itself cannot know, if there is one."""
        return replace(self, said="; ".join(filter(None, (cause, self.said)))) if cause else self

    def __str__(self) -> str:
        code = self.exit_code
        how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
        line = f"Worker of rank {self.rank} (local rank {self.local_rank}) {how}"
        line = f"{line}: {self.said}" if self.said else line
        return "\n".join([line, *(f"  | {text}" for text in self.traceback)])


def of_caller() -> WorkerFailure | None:
    """Return the failure after which the agent that calls us restarts its workers, if it is one."""
    failed = (result for result in _results() if result.is_failed() and result.failures)
    result = next(failed, None)
    return _first(result.failures) if result else None


def of_exception(error: BaseException | None) -> WorkerFailure | None:
    """Return the failure with which torchrun ends, if it is one."""
    return _first(error.failures) if isinstance(error, ChildFailedError) else None


def leave(failure: WorkerFailure, environment: Mapping[str, str]) -> None:
    """Make it the container's last words, unless the script left its own, or recorded nothing.

    Then Kubernetes takes the end of the log, which says more.
    """
    path = environment.get(TERMINATION_LOG)
    if not path or not failure.said:
        return
    # It is a courtesy: how the agent ends must not depend on it.
    with contextlib.suppress(OSError):
        log = Path(path)
        if not log.exists() or log.stat().st_size == 0:
            log.write_bytes(str(failure).encode()[:MESSAGE_BYTES])


def _results() -> Iterator[RunResult]:
    """Yield what the functions that call us know of workers: the agent hands it to nobody."""
    frame = inspect.currentframe()
    while frame:
        yield from (value for value in frame.f_locals.values() if isinstance(value, RunResult))
        frame = frame.f_back


def _first(failures: Mapping[int, ProcessFailure]) -> WorkerFailure:
    rank, first = min(failures.items(), key=lambda item: item[1].timestamp)
    said, traceback = _recorded(first)
    return WorkerFailure(rank, first.local_rank, first.exitcode, said, traceback)


def _recorded(failure: ProcessFailure) -> tuple[str, tuple[str, ...]]:
    """Return what stands in the worker's error file."""
    if failure.error_file == _NOT_RECORDED:
        return "", ()
    message: Any = failure.message
    if not isinstance(message, dict):
        return _line(message), ()
    extra = message.get("extraInfo")
    stack = extra.get("py_callstack") if isinstance(extra, dict) else None
    lines = str(stack or "").splitlines()[-TRACEBACK_LINES:]
    return _line(message.get("message")), tuple(line[:TRACEBACK_CHARS] for line in lines)


def _line(text: object) -> str:
    return " ".join(str(text or "").split())[:LINE_CHARS]
