"""Pods that the API server did not take: beyond a quota, against a limit, or refused by a webhook.

Nobody tells when there is room again, so it is tried: with one pod for all, after a delay that
doubles. When that one is taken, the others follow at once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from elasticjob_operator import backoff
from elasticjob_operator.observed import Observed

FIRST_S: Final = 1.0
MOST_S: Final = 30.0


def again_s(observed: Observed) -> float:
    """Return how long to wait before pods are created again; 0 if now."""
    refused = observed.refused
    if refused is None:
        return 0.0
    delay_s = backoff.delay_s(FIRST_S, refused.times, MOST_S)
    due = refused.at + timedelta(seconds=delay_s)
    return max(0.0, (due - observed.now).total_seconds())
