"""What is being waited for, said while it is waited for, and never for ever."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster.errors import LocalClusterError

POLL_S = 0.05  # how often the readiness of another process is asked for
REPEAT_S = 15.0  # how often a long wait says that it still waits


def say(line: str) -> None:
    """Write one line of progress where it does not mix with a command's output."""
    print(line, file=sys.stderr, flush=True)


def spell(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and when it is done how long it took."""
    say(f"{what} ...")
    began = time.monotonic()
    yield
    say(f"{what}: done in {spell(time.monotonic() - began)}")


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log file, or say that there is none."""
    try:
        with log.open(errors="replace") as file:
            return "".join(deque(file, lines)).rstrip() or "(the log is empty)"
    except OSError:
        return "(there is no log)"


def failure(what: str, log: Path) -> LocalClusterError:
    """Return the error for a step that failed, with the end of its log and where the rest is."""
    return LocalClusterError(f"{what}. The end of its log, {log}:\n{tail(log)}")


def wait_until(
    ready: Callable[[], bool],
    what: str,
    *,
    timeout_s: float,
    log: Path,
    alive: Callable[[], bool] = lambda: True,
) -> None:
    """Return once `ready()` is true.

    Args:
        ready: asked every `POLL_S`; for what only another process's answer can tell.
        what: names what is waited for, in progress lines and in the error.
        timeout_s: how long to wait at most.
        log: the log that would tell why it does not come.
        alive: false as soon as waiting has become pointless.

    Raises:
        LocalClusterError: it did not come in time, or never will; with the end of the log.
    """
    began = time.monotonic()
    said = began
    while not ready():
        now = time.monotonic()
        if not alive():
            raise failure(f"{what}: it ended, and will not come", log)
        if now - began > timeout_s:
            raise failure(f"{what}: not after {spell(timeout_s)}", log)
        if now - said > REPEAT_S:
            say(f"still waiting for {what}, {spell(now - began)} so far")
            said = now
        time.sleep(POLL_S)
