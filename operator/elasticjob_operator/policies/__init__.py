"""The rules of the operator: ordered lists of named checks, of which the first verdict counts.

Every check looks at the same :class:`Facts` and gives a reason (one word for programs) and a
message (a sentence with the numbers in it). The same words stand in the condition, the event and
the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from elasticjob_operator import api
from elasticjob_operator.book import Ended
from elasticjob_operator.observed import FormedRound, Observed


@dataclass(frozen=True)
class Facts:
    """What was seen, and what follows from it before anything is decided.

    Attributes:
        rendezvous: ``status.rendezvous`` with all new rounds.
        attempts: The book of attempts with all ended pods.
        restarts: ``status.restarts`` with all that is new.
        last_failure: The last failure of training itself.
        node_failures: ``status.nodeFailures`` with all that is new.
        ended: Pods whose end is counted now.
        formed: Rounds that are new.
        verdict: Why the failure policy says that the job is to fail, as a sentence; else empty.
    """

    observed: Observed
    rendezvous: api.RendezvousStatus = field(default_factory=api.RendezvousStatus)
    attempts: api.Attempts = field(default_factory=api.Attempts)
    restarts: api.Restarts = field(default_factory=api.Restarts)
    last_failure: api.Failure | None = None
    node_failures: tuple[api.NodeFailures, ...] = ()
    ended: tuple[Ended, ...] = ()
    formed: tuple[FormedRound, ...] = ()
    verdict: str = ""


V = TypeVar("V")


def first(checks: Iterable[Callable[[Facts], V | None]], facts: Facts) -> V | None:
    """Return the verdict of the first check that has one."""
    return next((verdict for check in checks if (verdict := check(facts)) is not None), None)
