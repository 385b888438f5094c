"""Commands whose output is read as it comes, and that are started again when they end too early."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from localcluster import services

AGAIN_AFTER_S: Final = 1.0
GONE: Final = "(NotFound)"


class Follower:
    """A command that runs, and a thread that hands its output on, line by line or object by object.

    kubectl's watches and logs end with their connection, long before there is nothing more to see.
    So a command that ended is started again: a watch always; the log of a container unless it ended
    well, or what it is about is gone. It ends when this process does, even if that is killed.

    Args:
        words: the command.
        environment: its environment.
    """

    def __init__(self, words: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._words, self._environment = words, environment
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    def lines(self, receive: Callable[[str], None]) -> None:
        """Hand every line to `receive`, once: a command that restarts prints all from the start."""
        handed_on = 0

        def hand_on(output: Iterator[str]) -> None:
            nonlocal handed_on
            for number, line in enumerate(output, start=1):
                if number > handed_on:
                    handed_on = number
                    receive(line.rstrip("\n"))

        self._begin(hand_on, lambda status, errors: status != 0 and GONE not in errors)

    def documents(self, receive: Callable[[Any], None]) -> None:
        """Hand every JSON object to `receive`; some come again after a restart."""

        def hand_on(output: Iterator[str]) -> None:
            for document in read_documents(output):
                receive(document)

        self._begin(hand_on, lambda _status, _errors: True)

    def stop(self) -> None:
        """End the command if it runs; nothing is handed on any more."""
        with self._lock:
            self._stopped.set()
            if self._process:
                self._process.terminate()
        if self._thread:
            self._thread.join()

    def _begin(
        self, hand_on: Callable[[Iterator[str]], None], again: Callable[[int, str], bool]
    ) -> None:
        def work() -> None:
            while again(*self._run(hand_on)) and not self._stopped.wait(AGAIN_AFTER_S):
                pass

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def _run(self, hand_on: Callable[[Iterator[str]], None]) -> tuple[int, str]:
        """Run the command to its end; its status, and what it said of errors."""
        with tempfile.TemporaryFile("w+", errors="replace") as errors:
            with self._lock:
                if self._stopped.is_set():
                    return 0, ""
                self._process = subprocess.Popen(
                    (*services.bound_to_caller(), *self._words),
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    errors="replace",
                )
            assert self._process.stdout is not None
            with self._process.stdout as output:
                hand_on(output)
            status = self._process.wait()
            errors.seek(0)
            return status, errors.read()


def read_documents(lines: Iterator[str]) -> Iterator[Any]:
    """Cut a stream of indented JSON objects, as `kubectl get -w -o json` prints, into objects.

    kubectl closes every object by a brace alone at the beginning of a line.
    """
    pending: list[str] = []
    for line in lines:
        pending.append(line)
        if line.rstrip() == "}" and not line.startswith(" "):
            yield json.loads("".join(pending))
            pending.clear()
