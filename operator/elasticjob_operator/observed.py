"""What the operator sees: one frozen snapshot of a job, its pods and its rendezvous store.

The clock is a field of the snapshot, so the same snapshot always gives the same decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from elasticjob_operator import api
from elasticjob_operator.last_words import LastWords
from elasticjob_operator.node_facts import Node
from elasticjob_operator.pod_facts import WorkerPod
from elasticjob_operator.store_facts import StorePod
from elasticjob_operator.store_members import Members
from rdzv_client import wire

# --- the store ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class FormedRound:
    """A round that was seen complete, with who is in it by rank.

    Attributes:
        at: When it was seen.
        late: Whether it was found out only afterwards, so that ``at`` says nothing about it.
    """

    record: wire.Round
    ranks: tuple[wire.Rank, ...]
    at: datetime
    revision: int
    late: bool = False


@dataclass(frozen=True)
class Drained:
    """A pod that was asked to leave, and since when as far as this operator knows."""

    reason: str
    since: datetime


@dataclass(frozen=True)
class Reported:
    """What a member says of its training.

    Attributes:
        at: When it was heard.
        grown_at: When its step last grew, or was first heard.
    """

    said: wire.Progress
    at: datetime
    grown_at: datetime


@dataclass(frozen=True)
class Refused:
    """Pods that the API server does not take: its words, since when, and how often in a row."""

    words: str
    at: datetime
    times: int = 1


@dataclass(frozen=True)
class StoreView:
    """What the job's rendezvous store holds, as far as it is known.

    Attributes:
        reachable: Whether the operator has a live watch on it.
        since: Since when it has been heard without interruption; None for long.
        problem: Why not, as a sentence.
        drains: Pods that were asked to leave, by UID.
        sites: Where nodes stand, as the workers were told.
        formed: Rounds seen to be formed, oldest first; some may be in the status already.
        progress: What members said of their training in the round of now.
    """

    reachable: bool = False
    since: datetime | None = None
    problem: str = ""
    revision: int = 0
    settings: wire.Settings | None = None
    round: wire.Round | None = None
    members: tuple[wire.Member, ...] = ()
    left: tuple[wire.Left, ...] = ()
    gone: frozenset[str] = frozenset()
    drains: Mapping[str, Drained] = field(default_factory=dict)
    sites: Mapping[str, str] = field(default_factory=dict)
    formed: tuple[FormedRound, ...] = ()
    progress: tuple[Reported, ...] = ()


# --- all of it ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Observed:
    """All that a decision may depend on."""

    now: datetime
    job: api.ElasticJob
    pods: tuple[WorkerPod, ...] = ()
    store_pods: tuple[StorePod, ...] = ()
    store: StoreView = field(default_factory=StoreView)
    locked_out: str = ""
    """Why the operator has nothing to show to the store, as a sentence; empty if it has."""
    store_members: Members = ()
    """The members of a store of several, as it lists them itself; asked for while not all of its
    pods are ready."""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    """The nodes of the job's pods, by name; empty where the operator may not see nodes."""
    sees_nodes: bool = True
    """Whether the operator may."""
    any_node_ready: bool = True
    """Whether any node of the cluster is."""
    refused: Refused | None = None
    """Why the last pods that were to be made were not."""
    last_words: Mapping[str, LastWords] = field(default_factory=dict)
    """What was said by workers that failed in pods that live on, by pod."""

    @property
    def spec(self) -> api.ElasticJobSpec:
        return self.job.spec

    @property
    def status(self) -> api.ElasticJobStatus:
        return self.job.status

    def drains(self, pod: WorkerPod) -> bool:
        """Return whether the pod was asked to leave."""
        return pod.uid in self.store.drains


def run_id(job: api.ElasticJob) -> str:
    """Return the name under which the workers of this job, and no others, meet."""
    return f"{job.metadata.uid}-{job.status.attempt}"
