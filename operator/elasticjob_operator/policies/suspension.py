"""Whether the job is suspended, and since when it runs."""

from __future__ import annotations

from datetime import datetime

from elasticjob_operator import conditions
from elasticjob_operator.observed import Observed
from elasticjob_operator.timestamps import instant


def is_wanted(observed: Observed) -> bool:
    """Return whether the job is to stand still."""
    return observed.spec.run_policy.suspend


def was(observed: Observed) -> bool:
    """Return whether it stood still when it was last looked at."""
    return conditions.holds(observed.status.conditions, conditions.SUSPENDED)


def started_at(observed: Observed) -> datetime | None:
    """Return when the job was started, or last resumed; None if it never was."""
    before = instant(observed.status.start_time)
    if is_wanted(observed):
        return before
    return observed.now if before is None or was(observed) else before
