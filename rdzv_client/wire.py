"""What stands in the store: keys and versioned JSON documents.

This is the only place that knows the format. The in-pod library and the operator both read and
write through it, so it imports the standard library alone.

Every run of a job has a prefix of its own, ``/rdzv/v1/<run id>/``, and under it

=============================  ==========  ==================================================
key                            written by  document
=============================  ==========  ==================================================
``op/settings``                operator    :class:`Settings`: bounds, who is expected, closed
``op/gone/<uid>``              operator    :class:`Gone`: this pod will never come back
``op/drain/<uid>``             operator    :class:`Drain`: this pod is to leave, in good order
``members/<slot>/<member>``    the member  :class:`Member`, tied to the member's own liveness
``left/<member>``              the member  :class:`Left`: how and why it went (of one that is
                               or leader   refused or drained: the leader)
``round``                      the leader  :class:`Round`: the one record all members watch
``ranks/<member>``             the leader  :class:`Rank`: this member's place in the round
=============================  ==========  ==================================================

What is read is not trusted: a document that is too large, torn, of another version or of the
wrong types raises :class:`WireError`, which names the key and the fault. Fields that are not known
are ignored, so that a newer writer of the same version can add some.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import typing
import urllib.parse
from dataclasses import dataclass
from typing import Any, Final, TypeVar

VERSION: Final = 1
MAX_DOCUMENT_BYTES: Final = 64 * 1024
MAX_NODES: Final = 1_000_000
NO_SLOT: Final = "-"

_LONGEST: Final = 253
_TOKEN = re.compile(r"[A-Za-z0-9._:@+-]{1,253}")


class WireError(ValueError):
    """Something in the store, or meant for it, is not what the format allows."""


# --- keys --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Keys:
    """The keys of one run.

    Args:
        run_id: The run. Characters that cannot be part of a key are percent-encoded.
        root: What all runs have in common.

    Raises:
        WireError: the run id is empty, or longer than 253 characters when encoded.
    """

    run_id: str
    root: str = "/rdzv"

    def __post_init__(self) -> None:
        if not 1 <= len(_quoted(self.run_id)) <= _LONGEST:
            raise WireError(
                f"the run id {self.run_id!r} cannot be part of a key: it must have 1 to {_LONGEST} "
                "characters"
            )

    @property
    def prefix(self) -> str:
        return f"{self.root}/v{VERSION}/{_quoted(self.run_id)}/"

    @property
    def operator(self) -> str:
        """Prefix of all that only the operator writes."""
        return f"{self.prefix}op/"

    @property
    def settings(self) -> str:
        return f"{self.operator}settings"

    @property
    def gone_prefix(self) -> str:
        return f"{self.operator}gone/"

    def gone(self, uid: str) -> str:
        return self.gone_prefix + require_token("pod uid", uid)

    @property
    def drain_prefix(self) -> str:
        return f"{self.operator}drain/"

    def drain(self, uid: str) -> str:
        return self.drain_prefix + require_token("pod uid", uid)

    @property
    def members(self) -> str:
        return f"{self.prefix}members/"

    def slot(self, slot: int | None) -> str:
        """Prefix of the members that hold, or claim, this slot."""
        return f"{self.members}{NO_SLOT if slot is None else slot}/"

    def member(self, slot: int | None, member: str) -> str:
        return self.slot(slot) + require_token("member id", member)

    @property
    def left_prefix(self) -> str:
        return f"{self.prefix}left/"

    def left(self, member: str) -> str:
        return self.left_prefix + require_token("member id", member)

    @property
    def round(self) -> str:
        return f"{self.prefix}round"

    @property
    def ranks(self) -> str:
        return f"{self.prefix}ranks/"

    def rank(self, member: str) -> str:
        return self.ranks + require_token("member id", member)


@functools.lru_cache(maxsize=128)
def _quoted(run_id: str) -> str:
    return urllib.parse.quote(run_id, safe=":@+", errors="surrogatepass")


def require_token(what: str, value: str) -> str:
    """Return ``value`` if it can be part of a key.

    Raises:
        WireError: it is not 1 to 253 letters, digits or ``._:@+-``.
    """
    if not _TOKEN.fullmatch(value):
        raise WireError(
            f"the {what} {value!r} cannot be part of a key: allowed are 1 to 253 letters, digits "
            "and the characters . _ : @ + -"
        )
    return value


# --- documents ---------------------------------------------------------------------------------


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
    """

    seq: int
    min_nodes: int
    max_nodes: int
    expected_nodes: int | None = None
    round_floor: int = 0
    closed: str | None = None

    def __post_init__(self) -> None:
        _require(1 <= self.min_nodes <= self.max_nodes <= MAX_NODES, "min_nodes and max_nodes")
        _require(self.expected_nodes is None or self.expected_nodes >= 0, "expected_nodes")
        _require(self.round_floor >= 0, "round_floor")


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

    def __post_init__(self) -> None:
        require_token("member id", self.id)
        require_token("pod uid", self.uid)
        _require(self.slot is None or 0 <= self.slot < MAX_NODES, "slot")
        _require(1 <= self.min_nodes <= self.max_nodes <= MAX_NODES, "min_nodes and max_nodes")
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

    def __post_init__(self) -> None:
        _require(self.number >= 0 and self.proposal >= 0, "number and proposal")
        _require(self.phase in PHASES, f"phase (one of {', '.join(PHASES)})")
        _require(self.cause in CAUSES, f"cause (one of {', '.join(CAUSES)})")
        _require(0 <= self.world_size <= MAX_NODES, "world_size")
        _require(0 <= self.min_nodes <= self.max_nodes <= MAX_NODES, "min_nodes and max_nodes")
        _require(0 <= self.seconds < 1e9, "seconds")
        _require(self.phase != "complete" or self.store is not None, "store of a complete round")


PHASES: Final = ("proposed", "complete", "broken", "closed")
CAUSES: Final = ("start", "lost", "left", "restart", "admission", "drain", "closed")


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


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise WireError(f"{what} is out of range")


# --- bytes -------------------------------------------------------------------------------------

Document = TypeVar("Document", Settings, Gone, Drain, Member, Left, Round, Rank)


def encode(document: Settings | Gone | Drain | Member | Left | Round | Rank) -> bytes:
    """Return the document as it stands in the store."""
    fields = {"v": VERSION, **dataclasses.asdict(document)}
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()


def decode(kind: type[Document], key: str, value: bytes) -> Document:
    """Read a document.

    Args:
        kind: The class of the document that belongs under ``key``.
        key: Where it was read; for the error only.
        value: What was read.

    Raises:
        WireError: too large, not JSON, another version, a field that is missing or of the wrong
            type or out of range.
    """
    try:
        fields = _parse(value)
        return kind(**_typed(kind, fields))
    except WireError as error:
        raise WireError(f"{kind.__name__} document under {key!r}: {error}") from None


def _parse(value: bytes) -> dict[str, Any]:
    if len(value) > MAX_DOCUMENT_BYTES:
        raise WireError(f"{len(value)} bytes; at most {MAX_DOCUMENT_BYTES} are allowed")
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        raise WireError("not valid JSON") from None
    if not isinstance(fields, dict):
        raise WireError(f"a JSON object was expected, not {type(fields).__name__}")
    if fields.get("v") != VERSION:
        raise WireError(f"version {fields.get('v')!r}; this client speaks version {VERSION}")
    return fields


def _typed(kind: type, fields: dict[str, Any]) -> dict[str, Any]:
    arguments = {}
    for name, allowed, required in _fields(kind):
        if name in fields:
            arguments[name] = _checked(name, allowed, fields[name])
        elif required:
            raise WireError(f"field {name!r} is missing")
    return arguments


def _checked(name: str, allowed: tuple[type, ...], value: Any) -> Any:
    # bool is an int to isinstance, and never meant where a number stands.
    if type(value) in allowed and not (type(value) is int and abs(value) >= 2**63):
        return value
    if StoreAddress in allowed and isinstance(value, dict):
        return StoreAddress(**_typed(StoreAddress, value))
    if float in allowed and type(value) is int and abs(value) < 2**53:
        return float(value)
    expected = " or ".join("null" if t is type(None) else t.__name__ for t in allowed)
    raise WireError(f"field {name!r} should be {expected}, not {type(value).__name__}")


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, tuple[type, ...], bool], ...]:
    """The fields of a document: name, types allowed, whether it must be there."""
    hints = typing.get_type_hints(kind)
    return tuple(
        (
            field.name,
            typing.get_args(hints[field.name]) or (hints[field.name],),
            field.default is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
    )
