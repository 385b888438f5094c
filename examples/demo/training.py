"""What the lines that `examples/digits/train.py` prints say."""

from __future__ import annotations

import dataclasses
import re

_STARTING = re.compile(r"starting at epoch 1 of .* with (?P<workers>\d+) worker")
_RESUMING = re.compile(r"resuming after epoch (?P<epoch>\d+) of .* with (?P<workers>\d+) worker")
_EPOCH = re.compile(r"epoch (?P<epoch>\d+)/\d+  loss .*world size (?P<world>\d+)")
_FINISHED = re.compile(r"finished: test accuracy (?P<accuracy>[\d.]+)%")


@dataclasses.dataclass(frozen=True)
class Begun:
    """Training began with `epoch` epochs behind it (0: from nothing) and that many workers."""

    epoch: int
    workers: int


@dataclasses.dataclass(frozen=True)
class Epoch:
    """An epoch is done."""

    epoch: int
    world_size: int


@dataclasses.dataclass(frozen=True)
class Finished:
    """Training is over."""

    accuracy_percent: float


Step = Begun | Epoch | Finished


def read_line(line: str) -> Step | None:
    """What a line of the log says of training; None for all other lines."""
    if match := _STARTING.match(line):
        return Begun(epoch=0, workers=int(match["workers"]))
    if match := _RESUMING.match(line):
        return Begun(epoch=int(match["epoch"]), workers=int(match["workers"]))
    if match := _EPOCH.match(line):
        return Epoch(epoch=int(match["epoch"]), world_size=int(match["world"]))
    if match := _FINISHED.match(line):
        return Finished(accuracy_percent=float(match["accuracy"]))
    return None
