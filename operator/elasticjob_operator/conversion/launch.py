"""The command of a training container as plain torchrun.

The operator gives torchrun its rendezvous by variables, which options on the command line outweigh:
they must not stay there. What a shell, or another program, runs is not rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

TORCHRUN: Final = "torchrun"
LAUNCHERS: Final = {
    "torch.distributed.run",
    "torch.distributed.launch",
    "torchelastic.distributed.launch",
}
OURS: Final = {
    *("nnodes", "rdzv-backend", "rdzv-endpoint", "rdzv-id", "rdzv-conf", "standalone"),
    *("node-rank", "master-addr", "master-port", "local-addr", "use-env"),
}
"""Options that the operator's variables take the place of."""
WITHOUT_VALUE: Final = {
    *("standalone", "use-env", "no-python", "run-path", "virtual-local-rank", "module", "m"),
}
SHELLS: Final = {"sh", "bash", "dash", "ash"}
NOT_SET: Final = re.compile(
    r"\$[({]?((?:PET_)?(?:MASTER_ADDR|MASTER_PORT|NODE_RANK)|RANK|WORLD_SIZE)\b"
)

MUST_BE_TORCHRUN: Final = "it must run torchrun, which the operator tells where to meet"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Launch:
    """What a container runs, and what its command line said of it.

    Attributes:
        words: The whole command line; none where the image decides.
        nproc: Processes per worker, where the command line says.
        max_restarts: How often torchrun was to start its workers again, where it says.
    """

    words: tuple[str, ...] = ()
    nproc: str | None = None
    max_restarts: int | None = None


def plain(words: list[str], say: Say) -> Launch:
    """Return the command line as torchrun's, without a rendezvous of its own.

    Args:
        words: The command line, with at least the program.
        say: Hears what became of it.
    """
    program = PurePosixPath(words[0]).name
    launch = _torchrun(program, words, say)
    if launch is None:
        runner = "a shell" if program in SHELLS else program
        _look_at(" ".join(words), lambda told: say(f"has {runner} run it: {told}"))
        return Launch(tuple(words))
    for name in sorted({n for word in launch.words for n in NOT_SET.findall(word)}):
        say(f"speaks of {name}, which only torchrun's workers know here")
    return launch


def of_image(args: list[str], say: Say) -> None:
    """Say what must hold for arguments of a program that the image alone names."""
    say(f"is the image's: {MUST_BE_TORCHRUN}")
    _look_for_options(" ".join(args), say)


def _torchrun(program: str, words: list[str], say: Say) -> Launch | None:
    """Return the command line as torchrun's, or None if it is something else."""
    if program == TORCHRUN:
        return _without_rendezvous(words[1:], say)
    if not re.fullmatch(r"python[0-9.]*", program):
        return None
    rest = [*_without_unbuffered(words[1:])]
    if rest[:1] == ["-m"] and rest[1:2] and rest[1] in LAUNCHERS:
        say(f"runs torchrun in place of {rest[1]}")
        return _without_rendezvous(rest[2:], say)
    if rest and (rest[0] == "-m" or not rest[0].startswith("-")):
        say(f"runs {TORCHRUN} in place of {program}, with one process for each worker")
        return Launch((TORCHRUN, *rest), nproc="1")
    return None


def _without_unbuffered(words: list[str]) -> Iterator[str]:
    """Leave out Python's -u, which torchrun gives its workers anyway."""
    options = True
    for word in words:
        options = options and word.startswith("-")
        if not (options and word == "-u"):
            yield word


def _without_rendezvous(words: list[str], say: Say) -> Launch:
    """Take out of torchrun's own options what the operator says, up to the script."""
    launch, kept, left_out = Launch(), [TORCHRUN], []
    rest = list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        name, sign, value = word.partition("=")
        name = name.lstrip("-").replace("_", "-")
        taken = [word]
        if not sign and name not in WITHOUT_VALUE and rest:
            value = rest.pop(0)
            taken.append(value)
        if name in OURS:
            left_out.append(f"--{name}")
        elif name == "nproc-per-node":
            launch = replace(launch, nproc=value)
        elif name == "max-restarts" and value.isdecimal():
            launch = replace(launch, max_restarts=int(value))
        else:
            kept += taken
        if name in {"m", "module"}:
            break
    if left_out:
        say(f"is without {', '.join(left_out)}: the operator says it")
    return replace(launch, words=(*kept, *rest))


def _look_at(line: str, say: Say) -> None:
    """Say what must be changed by hand in a line that is not rewritten."""
    _look_for_options(line, say)
    if not re.search(rf"\b{TORCHRUN}\b|torch\.distributed\.(run|launch)\b", line):
        say(MUST_BE_TORCHRUN)
    for name in sorted(set(NOT_SET.findall(line))):
        say(f"{name} is not set there, only torchrun's workers know it")


def _look_for_options(line: str, say: Say) -> None:
    named = [f"--{name}" for name in sorted(OURS) if re.search(_option(name), line)]
    if named:
        say(f"take out {', '.join(named)}, which outweigh the operator")


def _option(name: str) -> str:
    return "--" + name.replace("-", "[-_]") + r"\b"
