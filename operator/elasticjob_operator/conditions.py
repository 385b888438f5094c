"""The algebra of conditions (meta/v1): one entry per type, the time moves when the status does."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from elasticjob_operator.api import Condition
from elasticjob_operator.timestamps import stamp

RENDEZVOUS_READY = "RendezvousReady"
READY = "Ready"
PROGRESSING = "Progressing"
SUSPENDED = "Suspended"
COMPLETE = "Complete"
FAILED = "Failed"

MESSAGE_CHARS = 4096


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of this type."""
    return next((condition for condition in conditions if condition.type == kind), None)


def holds(conditions: Iterable[Condition], kind: str) -> bool:
    """Return whether the condition of this type is True."""
    condition = find(conditions, kind)
    return condition is not None and condition.status == "True"


def ends_job(condition: Condition) -> bool:
    """Return whether the job is over by this condition."""
    return condition.type in {COMPLETE, FAILED} and condition.status == "True"


def merge(old: Iterable[Condition], new: Iterable[Condition]) -> tuple[Condition, ...]:
    """Return the new conditions; where the status is as before, the old transition time stays."""
    before = {condition.type: condition for condition in old}

    def timed(condition: Condition) -> Condition:
        last = before.get(condition.type)
        if last is None or last.status != condition.status:
            return condition
        return condition.model_copy(update={"last_transition_time": last.last_transition_time})

    return tuple(timed(condition) for condition in new)


def make(
    kind: str, *, status: bool | None, reason: str, message: str, now: datetime, generation: int
) -> Condition:
    """Return a condition that begins to hold now; a ``status`` of None is Unknown."""
    return Condition(
        type=kind,
        status="Unknown" if status is None else "True" if status else "False",
        reason=reason,
        message=message[:MESSAGE_CHARS],
        observed_generation=generation,
        last_transition_time=stamp(now),
    )
