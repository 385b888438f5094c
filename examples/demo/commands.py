"""kubectl and helm as a user types them: shown, run, and followed line by line."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from examples.demo.narrator import Narrator
from localcluster import services

T = TypeVar("T")


class CommandError(Exception):
    """A command ended badly; the text has the command and what it said."""


@dataclasses.dataclass(frozen=True)
class Tools:
    """Where the programs are, and the cluster they speak to (None: kubectl's own choice)."""

    narrator: Narrator
    kubeconfig: Path | None = None
    folder: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment with the cluster and the programs' folder put in front."""
        environment = dict(os.environ)
        if self.kubeconfig:
            environment["KUBECONFIG"] = str(self.kubeconfig)
        if self.folder:
            environment["PATH"] = f"{self.folder}{os.pathsep}{environment.get('PATH', '')}"
        return environment

    def show(self, *words: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        """Print a command, run it, print what it says, and return that.

        Raises:
            CommandError: it is not there, ended with another status than 0, or took too long.
        """
        self.narrator.command(shlex.join(words))
        output = self.ask(*words, stdin=stdin, timeout_s=timeout_s)
        self.narrator.text(output.splitlines())
        return output

    def ask(self, *words: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        """Run a command without showing it; its output. Raises as `show` does."""
        shown = shlex.join(words)
        try:
            done = subprocess.run(
                words,
                input=stdin,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except FileNotFoundError:
            raise CommandError(f"{words[0]} is not installed (or not in PATH)") from None
        except subprocess.TimeoutExpired:
            raise CommandError(f"`{shown}` took longer than {timeout_s:.0f} s") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise CommandError(f"`{shown}` ended with status {done.returncode}: {said}")
        return done.stdout

    def stream(self, *words: str) -> None:
        """Print a command and run it, however long it takes; its output is seen as it comes.

        Raises:
            CommandError: it is not there, or ended with another status than 0.
        """
        shown = shlex.join(words)
        self.narrator.command(shown)
        program = sys.executable if words[0] == "python" else words[0]
        try:
            status = subprocess.run((program, *words[1:]), env=self.environment, check=False)
        except FileNotFoundError:
            raise CommandError(f"{words[0]} is not installed (or not in PATH)") from None
        if status.returncode:
            raise CommandError(f"`{shown}` ended with status {status.returncode}")

    def follow(self, *words: str) -> Follower:
        """Start a command whose output is read as it comes."""
        return Follower(words, self.environment)


class Follower:
    """A running command and a thread that hands its output on; ends with the command.

    The command ends when the thread that started it does, even if that is killed.
    """

    def __init__(self, words: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            (*services.bound_to_caller(), *words),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        self._thread: threading.Thread | None = None

    def lines(self, receive: Callable[[str], None]) -> None:
        """Hand every line to `receive`, on a thread."""
        self._hand_on((line.rstrip("\n") for line in self._output()), receive)

    def documents(self, receive: Callable[[Any], None]) -> None:
        """Hand every JSON document to `receive`, on a thread."""
        self._hand_on(read_documents(self._output()), receive)

    def stop(self) -> None:
        """End the command if it still runs; nothing is handed on any more."""
        self._process.terminate()
        self._process.wait()
        if self._thread:
            self._thread.join()

    def _output(self) -> Iterator[str]:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            yield from output

    def _hand_on(self, items: Iterator[T], receive: Callable[[T], None]) -> None:
        def work() -> None:
            for item in items:
                receive(item)

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()


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
