"""The autoscaler as users write it; what is made of it is in :mod:`provisioning.autoscaler`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from elasticjob_operator.model import Model


class Autoscaling(Model):
    """A HorizontalPodAutoscaler for the job, between minReplicas and maxReplicas."""

    metrics: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=20)]
    """What replicas follow, as in the autoscaler's own spec (autoscaling/v2)."""
    behavior: dict[str, Any] | None = None
    """How fast they follow, as there (autoscaling/v2)."""
