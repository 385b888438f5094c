"""What a handler is made with, in torch's terms; :mod:`rdzv_client.options` has this library's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Final

from rdzv_client import options

_READ_TIMEOUT_S: Final = 60
_TIMEOUTS: Final = ("join", "last_call", "close", "heartbeat")


class RendezvousTimeout:
    """How long to wait for what.

    Args:
        join: For a place in a round (600 s).
        last_call: For more nodes, once there are enough (30 s).
        close: For the backend to take note that the run is closed, or that this node leaves (30 s).
        heartbeat: For the backend to acknowledge a sign of life (5 s).

    Attributes:
        given: Those that were given, by name.

    Raises:
        ValueError: one of them is not positive.
    """

    DEFAULTS: ClassVar[dict[str, timedelta]] = {
        "join": timedelta(seconds=600),
        "last_call": timedelta(seconds=30),
        "close": timedelta(seconds=30),
        "heartbeat": timedelta(seconds=5),
    }

    def __init__(
        self,
        join: timedelta | None = None,
        last_call: timedelta | None = None,
        close: timedelta | None = None,
        heartbeat: timedelta | None = None,
    ) -> None:
        given = {"join": join, "last_call": last_call, "close": close, "heartbeat": heartbeat}
        for name, timeout in given.items():
            if timeout is not None and timeout <= timedelta(0):
                raise ValueError(f"The {name} timeout ({timeout}) must be positive.")
        self.given = {name: timeout for name, timeout in given.items() if timeout is not None}

    @property
    def join(self) -> timedelta:
        """For a place in a round."""
        return self._of("join")

    @property
    def last_call(self) -> timedelta:
        """For more nodes, once there are enough."""
        return self._of("last_call")

    @property
    def close(self) -> timedelta:
        """For the backend to take note that the run is closed, or that this node leaves."""
        return self._of("close")

    @property
    def heartbeat(self) -> timedelta:
        """For the backend to acknowledge a sign of life."""
        return self._of("heartbeat")

    def _of(self, name: str) -> timedelta:
        return self.given.get(name, self.DEFAULTS[name])


@dataclass(frozen=True, eq=False, repr=False)
class RendezvousSettings:
    """What a handler was made with.

    Attributes:
        run_id: The run.
        min_nodes: Least nodes of a round.
        max_nodes: Most nodes of a round.
        timeout: How long to wait for what.
        keep_alive_interval: With the next, how long a silent node counts as alive.
        keep_alive_max_attempt: The same.
        cas_backoff_max_seconds: The longest pause after a write that another one beat; 0 leaves it
            to the backend.
    """

    run_id: str
    min_nodes: int
    max_nodes: int
    timeout: RendezvousTimeout
    keep_alive_interval: timedelta
    keep_alive_max_attempt: int
    cas_backoff_max_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.run_id:
            raise ValueError("The run id must be a non-empty string.")
        if self.min_nodes < 1:
            raise ValueError(
                f"The minimum number of nodes ({self.min_nodes}) must be greater than zero."
            )
        if self.max_nodes < self.min_nodes:
            raise ValueError(
                f"The maximum number of nodes ({self.max_nodes}) must be greater than or equal to "
                f"the minimum number of nodes ({self.min_nodes})."
            )
        longest_s = self.cas_backoff_max_seconds
        if not math.isfinite(longest_s) or longest_s < 0:
            raise ValueError(
                f"cas_backoff_max_seconds ({longest_s}) must be finite and non-negative."
            )


def options_of(settings: RendezvousSettings, lease_s: float) -> dict[str, Any]:
    """Return the options that torch's arguments stand for, as far as they were given.

    Args:
        settings: What the handler is made with.
        lease_s: How long a silent node counts as alive by them, in seconds.
    """
    timeouts = settings.timeout.given
    chosen: dict[str, Any] = {f"{n}_timeout": t.total_seconds() for n, t in timeouts.items()}
    if lease_s != options.lease_of():
        chosen["lease_ttl"] = lease_s
    return {**chosen, "cas_backoff_max_seconds": settings.cas_backoff_max_seconds}


def arguments_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return options by name as the arguments of ``DynamicRendezvousHandler.from_backend``.

    Raises:
        ValueError: one has a value that is not allowed.
    """
    rest = dict(config)
    timeouts = {name: _timeout(rest.pop(f"{name}_timeout", None), name) for name in _TIMEOUTS}
    keep_alive = {name: rest[name] for name in options.KEEP_ALIVE if name in rest}
    if keep_alive:
        rest.setdefault("lease_ttl", options.lease_of(**keep_alive))
    rest["cas_backoff_max_seconds"] = _longest_pause_s(rest.get("cas_backoff_max_seconds", 0.0))
    return {"timeout": RendezvousTimeout(**timeouts), **rest}


def _timeout(value: Any, name: str) -> timedelta | None:
    """Torch's own words for one that is not positive; the options' for what is no number."""
    if value is None:
        return None
    try:
        return timedelta(seconds=options.number(value))
    except (TypeError, ValueError, OverflowError):
        options.parse({f"{name}_timeout": value})
        raise


def _longest_pause_s(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"cas_backoff_max_seconds({value!r}) is not a valid float value."
        ) from None


def read_timeout_of(params: Any) -> int:
    """Return the option ``read_timeout`` of ``RendezvousParameters``, in seconds; 60 by default.

    Raises:
        ValueError: it is no whole number above 0; in torch's words.
    """
    timeout_s: int | None = params.get_as_int("read_timeout", _READ_TIMEOUT_S)
    if timeout_s is None or timeout_s <= 0:
        given, allowed = params.get("read_timeout"), "a whole number of seconds, at least 1"
        wrong = options.OptionError("read_timeout", given, allowed)
        raise ValueError("The read timeout must be a positive integer.") from wrong
    return timeout_s
