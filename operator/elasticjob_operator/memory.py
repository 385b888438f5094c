"""What is kept in mind of a job between two looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from elasticjob_operator import actions, api, report
from elasticjob_operator.observed import Refused
from elasticjob_operator.plan import RESYNC_S
from elasticjob_operator.pod_facts import WorkerPod
from elasticjob_operator.postbox import Postbox
from elasticjob_operator.store_access import Shown

SCALER_AGAIN_S: Final = 30.0
"""An autoscaler that is refused is tried again so soon, or when it is another one."""
TELL_AGAIN_S: Final = 1.0
"""The status of a job is written at most so often, and what happens in between is told together."""


@dataclass(frozen=True)
class Tried:
    """An object that was to be made, when that was, and the API server's words if it refused."""

    manifest: actions.Manifest
    at: float
    refusal: str

    @property
    def stands(self) -> bool:
        """Whether it need not be tried again yet."""
        return monotonic() - self.at < (SCALER_AGAIN_S if self.refusal else RESYNC_S)


@dataclass
class Memory:
    """What saves asking about one job; all of it can be found out again.

    Attributes:
        uid: The job's.
        status: As it was last written.
        told_at: When that was, on the monotonic clock.
        untold: What was done since then.
        postbox: Events of what was told.
        ended: Pods whose end was seen since then, by name: they may be deleted before it is told.
        fresh: Pods that were just made, and when; the watch may not have told of them yet.
        provisioned: What was made besides the workers, and when.
        scaler: What came of the autoscaler.
        store_host: The address of the store's Service.
        borrowed_store: Whether the store is not the job's own.
        shown: What is shown to the store.
        refused: Why the last pods that were to be made were not.
    """

    uid: str
    status: api.ElasticJobStatus | None = None
    told_at: float = -TELL_AGAIN_S
    untold: report.Outcome = field(default_factory=report.Outcome)
    postbox: Postbox = field(default_factory=Postbox)
    ended: dict[str, WorkerPod] = field(default_factory=dict)
    fresh: dict[str, tuple[WorkerPod, float]] = field(default_factory=dict)
    provisioned: tuple[actions.Manifest, ...] = ()
    provisioned_at: float = -RESYNC_S
    store_host: str = ""
    borrowed_store: bool = False
    scaler: Tried | None = None
    shown: Shown | None = None
    refused: Refused | None = None
