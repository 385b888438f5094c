"""What every agent of the scoreboard runs: a worker that trains a little and tells what it sees.

Each event is one datagram of JSON to the socket ``events`` of the job's folder, which is also where
the worker is told what to do: before every step it looks there for the files ``finish``,
``finish.<agent>`` and ``fail.<agent>``. With ``--collective none`` it needs no torch and starts in
a tenth of a second; with ``gloo`` every step is an all-reduce of all workers of the round.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

STEP_S = 0.05
SETUP_LIMIT_S = 30

FOLDER = Path(os.environ["SCOREBOARD_FOLDER"])
AGENT = os.environ["SCOREBOARD_AGENT"]
_sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def tell(event: str, **more: Any) -> None:
    """Send an event; a job that is being torn down listens no longer."""
    document = {"agent": AGENT, "event": event, "pid": os.getpid(), "at": time.monotonic(), **more}
    try:
        _sender.sendto(json.dumps(document).encode(), str(FOLDER / "events"))
    except OSError:
        sys.exit(1)


def is_told(word: str) -> bool:
    return (FOLDER / word).exists()


def main() -> None:
    """Take part in one round until told to finish or to fail, or stopped by the agent."""
    options = _parse()
    tell(
        "entered",
        restarts=int(os.environ["TORCHELASTIC_RESTART_COUNT"]),
        rank=int(os.environ["RANK"]),
        world=int(os.environ["WORLD_SIZE"]),
        master=f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}",
    )
    if options.collective == "none":
        signal.signal(signal.SIGTERM, lambda *_: _stop(options.stop_s))
        train(lambda finish: finish)
    try:
        all_agree = _join_gloo(options.late_s)
        train(all_agree)
    except RuntimeError as error:
        # NCCL would hang here, for ten minutes by default; gloo fails at once.
        tell("failed", error=str(error)[:300])
        if options.collective == "hang":
            signal.pause()
        raise


def train(all_agree: Callable[[bool], bool]) -> NoReturn:
    """Do steps for ever.

    Args:
        all_agree: One step of all workers; says whether any of them was told to finish.
    """
    number = 0
    while not all_agree(is_told("finish") or is_told(f"finish.{AGENT}")):
        number += 1
        tell("step", number=number)
        _fail_if_told()
        time.sleep(STEP_S)  # stands for the work of a step
    tell("finished")
    sys.exit(0)


def _join_gloo(late_s: float) -> Callable[[bool], bool]:
    # Takes seconds, and most situations need none of it.
    import torch  # noqa: PLC0415
    from torch import distributed  # noqa: PLC0415

    if late_s and int(os.environ["RANK"]) and int(os.environ["TORCHELASTIC_RESTART_COUNT"]):
        time.sleep(late_s)  # stands for a slow node
    distributed.init_process_group("gloo", timeout=timedelta(seconds=SETUP_LIMIT_S))

    def all_agree(finish: bool) -> bool:
        seen = torch.tensor([1.0, float(finish)])
        distributed.all_reduce(seen)
        assert seen[0] == distributed.get_world_size()
        return bool(seen[1] > 0)

    return all_agree


def _fail_if_told() -> None:
    word = FOLDER / f"fail.{AGENT}"
    if word.exists():
        word.unlink()
        sys.exit(3)


def _stop(after_s: float) -> NoReturn:
    tell("stopping")
    time.sleep(after_s)  # stands for the saving of a checkpoint
    os._exit(0)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--collective", choices=("none", "gloo", "hang"), default="none")
    parser.add_argument("--stop-s", type=float, default=0.0)
    parser.add_argument("--late-s", type=float, default=0.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
