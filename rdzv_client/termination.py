"""How a process that waits for a round ends when it is told to."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_EXIT_ON_SIGTERM = 128 + signal.SIGTERM


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end the process meanwhile, with exit code 143, if nobody handles it.

    Before the first workers start torch has no handler, and a process with id 1 ignores signals it
    does not handle.
    """
    unhandled = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if not unhandled:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(_EXIT_ON_SIGTERM)
