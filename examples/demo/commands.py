"""kubectl and helm as a user types them: shown, run, and followed."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import sys
from pathlib import Path

from examples.demo.follower import Follower
from examples.demo.narrator import Narrator


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
