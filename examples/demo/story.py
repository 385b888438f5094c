"""What the demo shows: a job that starts, grows, loses a worker, and completes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from elasticjob_operator import timeline
from examples.demo import training
from examples.demo.board import Board, Known, StuckError
from examples.demo.commands import Tools
from examples.demo.spectator import CONTAINER, Spectator

JOB = "digits"
RESOURCE = f"elasticjob/{JOB}"
MANIFEST = Path("examples/digits.yaml")
EPOCHS_TO_SEE = 3
ROUND_LIMIT_S = 180
TRAINING_LIMIT_S = 900


class Story:
    """The demo's parts, in order; each waits, for a bounded time, for what it announces."""

    def __init__(self, tools: Tools, manifest: str, killed_rank: int) -> None:
        """`manifest` is the job as text; `killed_rank` says which worker part 3 kills."""
        self._tools = tools
        self._narrator = tools.narrator
        self._manifest = manifest
        self._killed_rank = killed_rank
        self._board = Board()
        self._measured: list[str] = []

    def tell(self) -> None:
        """Run all parts.

        Raises:
            StuckError: something did not come in time.
            CommandError: a command failed.
        """
        self._forget_earlier_run()
        self._narrator.heading("1. Two workers meet in round 1 and train")
        self._apply()
        with Spectator(self._tools, JOB, self._board):
            self._see_start()
            self._narrator.heading("2. A third worker: round 2, training goes on where it was")
            self._grow()
            self._narrator.heading("3. A worker is killed: the others go on, a new one joins")
            self._lose_worker()
            self._narrator.heading("4. The job completes")
            self._see_end()
        self._narrator.heading("What happened")
        self._sum_up()

    # --- the parts -------------------------------------------------------------------------------

    def _forget_earlier_run(self) -> None:
        found = self._tools.ask("kubectl", "get", RESOURCE, "--ignore-not-found", "--output=name")
        if found:
            self._narrator.heading("0. The job of an earlier run is deleted first")
            self._tools.show("kubectl", "delete", RESOURCE, timeout_s=120)

    def _apply(self) -> None:
        if self._manifest == MANIFEST.read_text():
            self._tools.show("kubectl", "apply", f"--filename={MANIFEST}")
        else:
            self._tools.show("kubectl", "apply", "--filename=-", stdin=self._manifest)

    def _see_start(self) -> None:
        self._wait("round 1", lambda known: bool(known.rounds), ROUND_LIMIT_S)
        self._see_epochs(2)
        self._tools.show("kubectl", "get", RESOURCE)

    def _grow(self) -> None:
        before = self._board.known
        self._tools.show("kubectl", "scale", RESOURCE, "--replicas=3")
        self._wait("a round of three", lambda known: is_round_of(known, 3), ROUND_LIMIT_S)
        self._see_epochs(3)
        self._check_resumption(before)

    def _lose_worker(self) -> None:
        before = self._board.known
        last = before.rounds[-1]
        rank = min(self._killed_rank, len(last.members) - 1)
        victim = last.members[rank]
        self._narrator.live("kill", f"{victim}, which has rank {rank}, without grace")
        killed_s = time.monotonic()
        self._tools.show("kubectl", "delete", f"pod/{victim}", "--grace-period=0", "--force")
        known = self._wait(
            f"the next round, without {victim}",
            lambda known: victim not in known.rounds[-1].members,
            ROUND_LIMIT_S,
        )
        number = next(one.round for one in known.rounds if one.round > last.round)
        self._measure(f"{time.monotonic() - killed_s:.1f} s from the kill to round {number}")

        def is_whole(known: Known) -> bool:
            return is_round_of(known, 3) and victim not in known.rounds[-1].members

        known = self._wait(
            "training by those who are left",
            lambda known: bool(begun_since(before, known)) or is_whole(known),
            ROUND_LIMIT_S,
        )
        if begun_since(before, known):
            self._measure(f"{time.monotonic() - killed_s:.1f} s from the kill to training by 2")
        self._wait("a new worker in the round", is_whole, ROUND_LIMIT_S)
        self._measure(f"{time.monotonic() - killed_s:.1f} s from the kill to three workers again")
        self._wait(
            "training by three workers",
            lambda known: any(step.workers == 3 for step in begun_since(before, known)),
            ROUND_LIMIT_S,
        )
        self._measure(f"{time.monotonic() - killed_s:.1f} s from the kill to training by 3")
        self._see_epochs(3)
        self._check_resumption(before)

    def _see_end(self) -> None:
        command = ("kubectl", "wait", "--for=condition=Complete", RESOURCE)
        limit = f"--timeout={TRAINING_LIMIT_S}s"
        self._narrator.command(" ".join((*command, limit)))
        known = self._wait("Complete", lambda known: known.holds("Complete"), TRAINING_LIMIT_S)
        self._narrator.text(self._tools.ask(*command, limit).splitlines())
        self._tools.show("kubectl", "get", RESOURCE)
        self._measured.append(self._read_accuracy(known.rounds[-1].members[0]))

    def _read_accuracy(self, pod: str) -> str:
        self._narrator.command(f"kubectl logs {pod} | grep finished")
        log = self._tools.ask("kubectl", "logs", pod, f"--container={CONTAINER}").splitlines()
        ends = [line for line in log if isinstance(training.read_line(line), training.Finished)]
        if not ends:
            raise StuckError(f"the job is Complete, but {pod} did not print its accuracy")
        self._narrator.text(ends)
        return ends[-1]

    def _sum_up(self) -> None:
        known = self._board.known
        ended_at = datetime.fromisoformat(known.job["status"]["completionTime"])
        self._narrator.text(timeline.render_table(known.rounds))
        self._narrator.text(["", *timeline.render_lanes(known.rounds, ended_at), ""])
        self._narrator.text(self._measured)

    # --- what the parts share --------------------------------------------------------------------

    def _wait(self, what: str, until: Callable[[Known], bool], timeout_s: float) -> Known:
        self._narrator.live("waiting", f"for {what}, at most {timeout_s:.0f} s")
        return self._board.wait(until, what, timeout_s)

    def _see_epochs(self, world_size: int) -> None:
        self._wait(
            f"{EPOCHS_TO_SEE} epochs of {world_size} workers",
            lambda known: count_epochs(known, world_size) >= EPOCHS_TO_SEE,
            ROUND_LIMIT_S,
        )

    def _check_resumption(self, before: Known) -> None:
        begun = begun_since(before, self._board.known)
        if any(step.epoch == 0 for step in begun):
            raise StuckError("training began again from nothing: the checkpoint was lost")
        resumed = " and ".join(str(step.epoch) for step in begun)
        self._measure(f"training went on after epoch {resumed}, not from nothing")

    def _measure(self, text: str) -> None:
        self._measured.append(text)
        self._narrator.live("measured", text)


def is_round_of(known: Known, workers: int) -> bool:
    """Whether the newest round has that many members."""
    return bool(known.rounds) and len(known.rounds[-1].members) == workers


def begun_since(before: Known, known: Known) -> list[training.Begun]:
    """How training began, as often as it did so between two snapshots."""
    new = known.steps[len(before.steps) :]
    return [step for step in new if isinstance(step, training.Begun)]


def count_epochs(known: Known, world_size: int) -> int:
    """Epochs done with that world size since training last began."""
    count = 0
    for step in known.steps:
        if isinstance(step, training.Begun):
            count = 0
        elif isinstance(step, training.Epoch) and step.world_size == world_size:
            count += 1
    return count
