"""All that is known of a running job, in one place on which any number of threads wait."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from elasticjob_operator import api, timeline
from examples.demo import training


class StuckError(Exception):
    """Something that was waited for did not come; the text says what."""


@dataclasses.dataclass(frozen=True)
class Known:
    """A snapshot: the job as last seen, and the training steps read from logs, oldest first."""

    job: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    steps: tuple[training.Step, ...] = ()

    @property
    def rounds(self) -> tuple[api.RoundRecord, ...]:
        """The rounds formed so far."""
        return timeline.read_rounds(self.job)

    def condition(self, kind: str) -> Mapping[str, Any]:
        """The job's condition of this type; empty if it is not there."""
        conditions = self.job.get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), {})

    def holds(self, kind: str) -> bool:
        """Whether the condition is there and True."""
        return self.condition(kind).get("status") == "True"


class Board:
    """Followers post what they see; the story waits until it is so."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._known = Known()

    @property
    def known(self) -> Known:
        """What is known now."""
        with self._changed:
            return self._known

    def post_job(self, job: Mapping[str, Any]) -> None:
        """Replace the job by a newer view of it."""
        with self._changed:
            self._known = dataclasses.replace(self._known, job=job)
            self._changed.notify_all()

    def post_step(self, step: training.Step) -> None:
        """Add a step of training."""
        with self._changed:
            self._known = dataclasses.replace(self._known, steps=(*self._known.steps, step))
            self._changed.notify_all()

    def wait(self, until: Callable[[Known], bool], what: str, timeout_s: float) -> Known:
        """Wait until it is so, and return what is known then.

        Raises:
            StuckError: `timeout_s` ran out, or the job is over, so that it will never be so.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not until(self._known):
                for end in ("Failed", "Complete"):
                    if self._known.holds(end):
                        message = self._known.condition(end)["message"]
                        raise StuckError(f"waited for {what}, but the job is {end}: {message}")
                remaining_s = deadline - time.monotonic()
                if remaining_s <= 0:
                    raise StuckError(f"waited {timeout_s:.0f} s for {what}, in vain")
                self._changed.wait(remaining_s)
            return self._known
