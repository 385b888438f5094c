"""How far training has come, as users read it; how it is known is in :mod:`policies.progress`."""

from __future__ import annotations

from pydantic import Field

from elasticjob_operator.model import Model

MAX_STRAGGLERS = 16


class Straggler(Model):
    """A worker that takes much longer for a step than the others, which all wait for it."""

    rank: int
    """Its rank among the workers."""
    pod: str
    """Its pod."""
    node: str
    """The node of its pod."""
    step_seconds: float
    """What a step takes it by itself, without waiting for others."""


class Progress(Model):
    """How far training has come, in the words of its script: see docs/jobs.md."""

    step: int
    """The steps of training that are done, as the worker of the least rank says that tells any."""
    epoch: float | None = None
    """The epoch, or part of one."""
    metrics: dict[str, str] = Field(default_factory=dict)
    """Numbers by name, such as the loss; at most 16. They are text, since NaN is one, too."""
    steps_per_second: float | None = None
    """The pace between its last two words."""
    rank: int
    """The rank of that worker among the workers."""
    pod: str
    """The pod of that worker."""
    round: int
    """The round in which it did this step; after a restart it may begin with an earlier one."""
    reported_at: str
    """When the operator heard of it. It is told at most every 10 s."""
    step_seconds: float | None = None
    """What a step takes a worker by itself, the median of those that say so."""
    stragglers: tuple[Straggler, ...] = ()
    """Workers that take one and a half times as long as that, or longer; the first 16."""
