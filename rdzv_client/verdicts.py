"""What a leader can decide: the vocabulary of :func:`rdzv_client.protocol.decide`."""

from __future__ import annotations

from dataclasses import dataclass

from rdzv_client import wire


@dataclass(frozen=True)
class Wait:
    """Nothing is to be done before something changes, or ``until``."""

    reason: str
    until: float | None = None


@dataclass(frozen=True)
class Propose:
    """Ask these members, in rank order, to form the round."""

    roster: tuple[wire.Member, ...]
    number: int
    cause: str
    reason: str


@dataclass(frozen=True)
class Complete:
    """All have agreed: the round stands."""

    store: wire.StoreAddress
    reason: str


@dataclass(frozen=True)
class Break:
    """The round ends, and all who are in it come back."""

    cause: str
    reason: str


@dataclass(frozen=True)
class Close:
    """The run is over."""

    reason: str


@dataclass(frozen=True)
class Omit:
    """These members stayed silent on a proposal and are left out of the next ones."""

    members: frozenset[str]
    reason: str


@dataclass(frozen=True)
class Refuse:
    """This member is out for good; the cause is ``refused`` or ``drained``."""

    member: wire.Member
    reason: str
    cause: str = "refused"


Verdict = Wait | Propose | Complete | Break | Close | Omit | Refuse
