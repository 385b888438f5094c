"""The documents of a run.

Their fields' types are read where they are decoded: this module leaves annotations as they are.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from rdzv_client.wire.errors import WireError
from rdzv_client.wire.keys import require_token

MAX_NODES: Final = 1_000_000


@dataclass(frozen=True)
class StoreAddress:
    """Where rank 0's store of a round listens."""

    host: str
    port: int

    def __post_init__(self) -> None:
        require_token("host", self.host)
        _require(1 <= self.port <= 65_535, "port")


@dataclass(frozen=True)
class Settings:
    """What the operator wants of the run; seeded before the first pod starts.

    Attributes:
        seq: Grows by one with every change.
        min_nodes: Least members of a round.
        max_nodes: Most members of a round.
        expected_nodes: Members that run or should within seconds; None when nobody knows.
        round_floor: No round is formed with this number or a lower one.
        closed: Why the run is over; None while it is not.
        scheduling: Whether pods that are wanted wait for a node. While they do, nobody gives up:
            the time that a scheduler or a cluster autoscaler takes is no member's fault.
        sites: Whether the operator says of each node where it stands (:class:`Site`).
        step: Both bounds, and the members of a round, are multiples of this.
        failures_left: How many more failures of training the operator will let pass; None when
            that is not to be counted by anybody else.
        stalled_round: Training stands still in the round of this number, which is to end; 0 in
            none. Rounds with a lower one have ended.
        stalled_reason: How that was seen, as a sentence.
    """

    seq: int
    min_nodes: int
    max_nodes: int
    expected_nodes: int | None = None
    round_floor: int = 0
    closed: str | None = None
    scheduling: bool = False
    sites: bool = False
    step: int = 1
    failures_left: int | None = None
    stalled_round: int = 0
    stalled_reason: str = ""

    def __post_init__(self) -> None:
        _require_bounds(self.min_nodes, self.max_nodes, self.step)
        _require(self.expected_nodes is None or self.expected_nodes >= 0, "expected_nodes")
        _require(self.failures_left is None or self.failures_left >= 0, "failures_left")
        _require(self.round_floor >= 0, "round_floor")
        _require(self.stalled_round >= 0, "stalled_round")


@dataclass(frozen=True)
class Gone:
    """A pod that will never come back; its members are out and may not register again."""

    uid: str
    reason: str


@dataclass(frozen=True)
class Drain:
    """A pod that is to go: its members leave the round and are dismissed, the others go on."""

    uid: str
    reason: str


@dataclass(frozen=True)
class Site:
    """Where a node stands, which its pods cannot see.

    Attributes:
        node: The Kubernetes node.
        topology: As in :class:`Member`; it counts for members there that have none of their own.
            Empty: nobody knows.
    """

    node: str
    topology: str


@dataclass(frozen=True)
class Member:
    """One agent process that takes part, or wants to.

    Attributes:
        id: Unique to the process: pod UID and a nonce.
        uid: The pod's UID, or what stands for it outside Kubernetes.
        slot: The pod's index; None when there is none.
        name: The pod's name, for people.
        node: The Kubernetes node, or the host.
        addr: Where the other members reach this one.
        min_nodes: The bounds it was started with; they count when there are no settings.
        max_nodes: The same.
        last_round: The highest round it knows to have been formed.
        acked: The proposal it agreed to; 0 from the moment it enters ``next_rendezvous`` until it
            agrees to one. If that proposal becomes a round, the member works in it, so that nothing
            need be written when ``next_rendezvous`` returns.
        store: Where its store for the acked proposal listens, if it was proposed as rank 0.
        stop_timeout_s: How long its agent may take to stop its workers.
        finished: Whether its workers have all ended with success.
        topology: Where it runs, the widest part first, such as ``zone-a/rack-7``; members that have
            a part in common get adjacent ranks. Empty: unknown.
        closes: Why it wants the run to be closed; None while it does not.
        operated: Whether an operator started it, whose settings count as soon as they are there.
        step: As in :class:`Settings`; it counts when there are none, as the bounds do.
    """

    id: str
    uid: str
    slot: int | None
    name: str
    node: str
    addr: str
    min_nodes: int
    max_nodes: int
    last_round: int = 0
    acked: int = 0
    store: StoreAddress | None = None
    stop_timeout_s: float = 30.0
    finished: bool = False
    topology: str = ""
    closes: str | None = None
    operated: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        require_token("member id", self.id)
        require_token("pod uid", self.uid)
        _require(self.slot is None or 0 <= self.slot < MAX_NODES, "slot")
        _require_bounds(self.min_nodes, self.max_nodes, self.step)
        _require(0 <= self.stop_timeout_s < 86_400, "stop_timeout_s")


@dataclass(frozen=True)
class Left:
    """How and why a member went; it outlives the member's own record.

    Attributes:
        cause: One of :data:`LEFT_CAUSES`.
        reason: A sentence.
        round: The round it last returned from.
    """

    id: str
    uid: str
    slot: int | None
    name: str
    cause: str
    reason: str
    round: int = 0

    def __post_init__(self) -> None:
        _require(self.cause in LEFT_CAUSES, f"cause (one of {', '.join(LEFT_CAUSES)})")


LEFT_CAUSES: Final = ("finished", "failed", "signal", "left", "refused", "drained")


@dataclass(frozen=True)
class Round:
    """The round that is being formed, stands, or has ended; the leader alone writes it.

    Attributes:
        number: Grows with every round that was formed, and never goes back.
        proposal: Grows with every attempt to form a round; the members agree to a proposal.
        formed: The last proposal that became a round; 0 before the first. A live member whose
            ``acked`` equals it is at work in that round, or still stopping its workers.
        phase: One of :data:`PHASES`.
        cause: Why the round was formed or broken; one of :data:`CAUSES`.
        reason: The same as a sentence.
        world_size: Its members.
        leader: The member that proposed it.
        rank0: The member with rank 0.
        store: Where rank 0's store listens; None until the round is complete.
        seconds: From the end of the round before (or the first member's arrival) to completion,
            by the leader's own clock.
        min_nodes: The bounds that counted when it was proposed; 0 when that is not known.
        max_nodes: The same.
        expected_nodes: How many members the operator expected then; None when nobody knew.
        step: Of which the members of a round were to be a multiple then.
    """

    number: int
    proposal: int
    phase: str
    cause: str
    reason: str
    formed: int = 0
    world_size: int = 0
    leader: str = ""
    rank0: str = ""
    store: StoreAddress | None = None
    seconds: float = 0.0
    min_nodes: int = 0
    max_nodes: int = 0
    expected_nodes: int | None = None
    step: int = 1

    def __post_init__(self) -> None:
        _require(self.number >= 0 and self.proposal >= 0, "number and proposal")
        _require(self.phase in PHASES, f"phase (one of {', '.join(PHASES)})")
        _require(self.cause in CAUSES, f"cause (one of {', '.join(CAUSES)})")
        _require(0 <= self.world_size <= MAX_NODES, "world_size")
        _require(0 <= self.min_nodes <= self.max_nodes <= MAX_NODES, "min_nodes and max_nodes")
        _require(1 <= self.step <= MAX_NODES, "step")
        _require(self.min_nodes % self.step == self.max_nodes % self.step == 0, "step")
        _require(self.expected_nodes is None or self.expected_nodes >= 0, "expected_nodes")
        _require(0 <= self.seconds < 1e9, "seconds")
        _require(self.phase != "complete" or self.store is not None, "store of a complete round")


PHASES: Final = ("proposed", "complete", "broken", "closed")
CAUSES: Final = ("start", "lost", "left", "restart", "stalled", "admission", "drain", "closed")


@dataclass(frozen=True)
class Rank:
    """A member's place in a proposal, and in the round that it becomes.

    It counts only beside the round record of the same proposal and leader: one that a deposed
    leader left behind matches none.
    """

    proposal: int
    leader: str
    rank: int
    id: str
    uid: str
    slot: int | None
    name: str
    node: str

    def __post_init__(self) -> None:
        _require(0 <= self.rank < MAX_NODES, "rank")


def _require_bounds(least: int, most: int, step: int) -> None:
    _require(1 <= least <= most <= MAX_NODES, "min_nodes and max_nodes")
    _require(1 <= step <= least and least % step == most % step == 0, "step")


@dataclass(frozen=True)
class Progress:
    """How far the training on a member's node has come, in the words of its script.

    Attributes:
        id: The member.
        round: The round in which that is so.
        step: The steps of training that are done.
        epoch: The epoch, or part of one.
        metrics: Numbers by name, such as ``{"loss": "0.21"}``; as text, since not all are finite.
        steps_per_second: The pace since the member last told.
        step_s: What a step takes the node by itself, without waiting for others.
    """

    id: str
    round: int
    step: int
    epoch: float | None = None
    metrics: dict[str, str] = field(default_factory=dict)
    steps_per_second: float | None = None
    step_s: float | None = None

    def __post_init__(self) -> None:
        require_token("member id", self.id)
        _require(self.round >= 0, "round")
        _require(0 <= self.step <= MAX_STEP, f"step (0 to {MAX_STEP})")
        for name in ("epoch", "steps_per_second", "step_s"):
            number = getattr(self, name)
            _require(number is None or 0 <= number < MAX_NUMBER, name)
        _require(len(self.metrics) <= MAX_METRICS, f"metrics (at most {MAX_METRICS})")
        for name, text in self.metrics.items():
            _require(bool(METRIC_NAME.fullmatch(name)), f"the name {name[:80]!r} in metrics")
            _require(isinstance(text, str) and bool(_METRIC.fullmatch(text)), f"metrics {name!r}")


MAX_STEP: Final = 2**53 - 1
MAX_NUMBER: Final = 1e15
MAX_METRICS: Final = 16
METRIC_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@%+-]{0,62}")
_METRIC: Final = re.compile(r"[-+0-9.einfa]{1,24}")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise WireError(f"{what} is out of range")
