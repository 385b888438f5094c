"""The options of a rendezvous, from ``--rdzv-conf`` or the handler's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from rdzv_client.view import Timing

# torchrun gives these to every backend, whatever it is.
_NOT_OURS: Final = frozenset({"timeout", "rank", "is_host", "store_type"})


@dataclass(frozen=True)
class Options:
    """How long to wait for what, in seconds.

    Attributes:
        join_timeout: For a place in a round; a spare beyond the maximum waits without limit.
        last_call_timeout: For more members, once there are enough and more may come.
        admission_window: For newcomers to gather before a standing round is broken for them.
        lease_ttl: For a sign of life from a member, before it counts as lost; at least 2.
        agreement_timeout: For a member to agree to a proposed round.
        close_timeout: For the store to take note that this member leaves.
        read_timeout: For an answer from the store.
    """

    join_timeout: float = 600.0
    last_call_timeout: float = 30.0
    admission_window: float = 3.0
    lease_ttl: float = 5.0
    agreement_timeout: float = 15.0
    close_timeout: float = 5.0
    read_timeout: float = 5.0

    @property
    def timing(self) -> Timing:
        """What of this the leader needs."""
        return Timing(
            lease_ttl_s=self.lease_ttl,
            last_call_s=self.last_call_timeout,
            admission_window_s=self.admission_window,
            agreement_s=self.agreement_timeout,
        )


_LEAST: Final[Mapping[str, float]] = {
    "last_call_timeout": 0.0,
    "admission_window": 0.0,
    "lease_ttl": 2.0,
}


def parse(config: Mapping[str, Any]) -> Options:
    """Read the options.

    Args:
        config: Names and values; numbers or their text.

    Raises:
        ValueError: an option that does not exist, or a value that is not allowed.
    """
    known = {field.name for field in fields(Options)}
    unknown = sorted(set(config) - known - _NOT_OURS)
    if unknown:
        raise ValueError(
            f"unknown rendezvous option {unknown[0]!r}; known are {', '.join(sorted(known))}"
        )
    given = {name: _seconds(name, config[name]) for name in known & set(config)}
    return Options(**given)


def _seconds(name: str, value: Any) -> float:
    least = _LEAST.get(name)
    allowed = "more than 0" if least is None else f"at least {least:g}"
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    fits = 0 < seconds < 1e9 if least is None else least <= seconds < 1e9
    if isinstance(value, bool) or not fits:
        raise ValueError(
            f"the rendezvous option {name}={value!r} must be a number of seconds, {allowed}"
        )
    return seconds
