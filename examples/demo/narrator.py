"""Prints the story line by line, from several threads, each line whole and with its time."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable

_STYLES = {"heading": "1", "command": "36", "round": "1;32", "event": "2", "trouble": "1;31"}


class Narrator:
    """Writes to standard output; colours if that is a terminal and NO_COLOR is not set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def heading(self, text: str) -> None:
        """Begin a part of the story."""
        self._print("heading", f"\n== {text} ==")

    def command(self, words: str) -> None:
        """Show a command as one would type it."""
        self._print("command", f"$ {words}")

    def text(self, lines: Iterable[str]) -> None:
        """Print lines as they are, indented."""
        for line in lines:
            self._print("text", f"  {line}")

    def live(self, kind: str, text: str) -> None:
        """Print something that has just happened: `kind` is round, event, training, waiting..."""
        elapsed_s = time.monotonic() - self._started
        self._print(kind, f"  {elapsed_s:6.1f} s  {kind:<8}  {text}")

    def trouble(self, text: str) -> None:
        """Say what went wrong."""
        self._print("trouble", text)

    def _print(self, style: str, text: str) -> None:
        code = _STYLES.get(style)
        painted = f"\x1b[{code}m{text}\x1b[0m" if self._colours and code else text
        with self._lock:
            print(painted, flush=True)
