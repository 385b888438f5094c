"""A program that runs for as long as its cluster does."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Service:
    """A long-running program.

    Attributes:
        name: also names its log, `<name>.log`.
        command: the program's path and arguments.
        environment: variables set besides the caller's own.
        after: a path that must exist before the program is started, such as another's socket.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None

    def document(self) -> dict[str, Any]:
        """Return what `machine_init` reads."""
        return {
            "name": self.name,
            "command": list(self.command),
            "environment": dict(self.environment),
            "after": self.after,
        }


def flags(**values: object) -> tuple[str, ...]:
    """Return `--some-name=value` for each `some_name=value`, booleans as Go programs spell them."""
    return tuple(f"--{name.replace('_', '-')}={_spell(value)}" for name, value in values.items())


def _spell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def bound_to_caller() -> list[str]:
    """Return what to put before a command so that it ends when the calling thread does."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []  # Linux has it


@contextmanager
def running(service: Service, logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service until the block ends, or the calling thread does, even if it is killed."""
    with (logs / f"{service.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*bound_to_caller(), *service.command],
            env={**os.environ, **service.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()  # what it wrote is thrown away
        process.wait()
