"""What happens around the run, as users write it; what it does is in :mod:`policies`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from elasticjob_operator.model import Model


class Backoff(Model):
    """How long the replacement of a pod waits that would come to the same end again."""

    initial_seconds: Annotated[int, Field(ge=0, le=3600)] = 1
    """The wait after the first failure; it doubles with every further one, and begins anew after
    a pod that had run for ten minutes."""
    max_seconds: Annotated[int, Field(ge=0, le=86_400)] = 30
    """The longest wait."""


class RunPolicy(Model):
    """What happens around the run."""

    suspend: bool = False
    """Whether the job is to stand still. Its pods are deleted, with their own grace period to save
    their work, and its own store with them; nothing of that counts as a failure. Set to false
    again, it goes on with the next round. A job that is created so has no pods until then."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """How long the job may run, from status.startTime, before it is Failed. Being suspended does
    not count: startTime is set anew when the job is resumed."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """How long the job is kept, with its pods and their logs, after it is Complete or Failed; then
    it is deleted. Kept for good when left out."""
    backoff: Backoff = Backoff()
    """How long the replacement of a pod waits that failed by itself, was killed where it ran, or
    was refused by its node. Pods that were taken away are replaced at once."""
    clean_pod_policy: Literal["Running", "All", "None"] = "Running"
    """Which pods are deleted when the job is over: those still Running, All of them, or None.
    Deleted pods take their logs with them."""
    failed_pods_history_limit: Annotated[int, Field(ge=0, le=1000)] = 10
    """How many pods that failed are kept for their logs while the job goes on, the newest ones, of
    each index one. What becomes of them in the end says cleanPodPolicy."""
