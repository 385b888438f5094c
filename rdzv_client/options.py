"""The options of a rendezvous, from ``--rdzv-conf`` or the handler's parameters."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Final, NoReturn

from rdzv_client import identity
from rdzv_client.view import Timing

# torchrun gives these to every backend, whatever it is.
_NOT_OURS: Final = frozenset({"timeout", "rank", "is_host", "store_type"})


@dataclass(frozen=True)
class Options:
    """How long to wait for what, in seconds.

    Attributes:
        join_timeout: For a place in a round; a spare beyond the maximum waits without limit.
        last_call_timeout: For more members, once there are enough and more may come.
        admission_window: For newcomers to gather before a standing round is broken for them, where
            no operator says how many are coming; else they wait for those, a last call at most.
        admission_interval: For a round to train before it is broken for newcomers; losses end it at
            any time.
        lease_ttl: For a sign of life from a member, before it counts as lost; at least 2. Instead,
            torch's ``keep_alive_interval`` and ``keep_alive_max_attempt`` may be given: it is their
            product then, 2 if that is less.
        agreement_timeout: For a member to agree to a proposed round.
        close_timeout: For the store to take note that this member leaves.
        read_timeout: For an answer from the store.
        heartbeat_timeout: For the store to acknowledge a sign of life; less where the lease or
            ``read_timeout`` leave less.
        poll_interval: Between two looks at a store that cannot tell of changes.
        cas_backoff_max_seconds: At most, in such a store, before a write that another one beat is
            tried again; 0 for as long as seems best.
    """

    join_timeout: float = 600.0
    last_call_timeout: float = 30.0
    admission_window: float = 3.0
    admission_interval: float = 0.0
    lease_ttl: float = 5.0
    agreement_timeout: float = 15.0
    close_timeout: float = 5.0
    read_timeout: float = 5.0
    heartbeat_timeout: float = 5.0
    poll_interval: float = 0.5
    cas_backoff_max_seconds: float = 0.0

    @property
    def timing(self) -> Timing:
        """What of this the leader needs."""
        return Timing(
            lease_ttl_s=self.lease_ttl,
            last_call_s=self.last_call_timeout,
            admission_window_s=self.admission_window,
            admission_interval_s=self.admission_interval,
            agreement_s=self.agreement_timeout,
        )


_LEAST: Final[Mapping[str, float]] = {
    "last_call_timeout": 0.0,
    "admission_window": 0.0,
    "admission_interval": 0.0,
    "lease_ttl": 2.0,
    "cas_backoff_max_seconds": 0.0,
}
KEEP_ALIVE: Final = ("keep_alive_interval", "keep_alive_max_attempt")
_SECONDS: Final = frozenset(field.name for field in fields(Options))
NAMES: Final = _SECONDS | set(KEEP_ALIVE) | set(identity.OPTIONS)
_MISSPELT: Final = 0.85


class OptionError(ValueError):
    """An option has a value that is not allowed.

    Where torch's own sentence must stand, which leaves the value out, this is its cause.

    Args:
        name: The option.
        value: What was given.
        allowed: What must be given.
    """

    def __init__(self, name: str, value: Any, allowed: str) -> None:
        super().__init__(f"the rendezvous option {name}={value!r} must be {allowed}")


def parse(config: Mapping[str, Any]) -> Options:
    """Read the options.

    Args:
        config: Names and values; numbers, their text, or timedeltas. None stands for one that is
            not given.

    Raises:
        ValueError: an option that does not exist, or a value that is not allowed.
    """
    given = {name: value for name, value in config.items() if value is not None}
    refuse_unknown(given, NAMES)
    seconds = {name: _seconds(name, given[name]) for name in given if name in _SECONDS}
    keep_alive = {name: given[name] for name in KEEP_ALIVE if name in given}
    if keep_alive and "lease_ttl" not in seconds:
        seconds["lease_ttl"] = lease_of(**keep_alive)
    return Options(**seconds)


def unquoted(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return options without the quotes around the whole of ``--rdzv-conf``.

    A manifest that quotes the list within a string hands them on; a shell would take them off.
    """
    for quote in ("'", '"'):
        first = [name for name in config if name.startswith(quote)]
        last = [name for name, value in config.items() if str(value).endswith(quote)]
        if len(first) == len(last) == 1:
            named = {name.removeprefix(quote): value for name, value in config.items()}
            name = last[0].removeprefix(quote)
            return {**named, name: str(named[name]).removesuffix(quote)}
    return dict(config)


def refuse_unknown(config: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise ValueError for an option that nobody reads.

    Args:
        config: Names and values.
        known: The options that are read; :data:`NAMES` are those of every protocol handler.
    """
    known = frozenset(known)
    for name in sorted(set(config) - known - _NOT_OURS):
        _refuse(name, config[name], known, _nearest(name, known))


def select(config: Mapping[str, Any], backends: Iterable[str] | None = None) -> dict[str, Any]:
    """Return those of the options that are ours; the others are the backend's.

    Args:
        config: Names and values.
        backends: The options that the backend reads; None if it does not say which.

    Raises:
        ValueError: an option that nobody reads. Where the backend does not say what it reads, only
            one that looks like one of ours misspelt.
    """
    if backends is not None:
        refuse_unknown(config, NAMES | set(backends))
    for name in sorted(set(config) - NAMES - _NOT_OURS - set(backends or ())):
        if alike := _nearest(name, NAMES, at_least=_MISSPELT):
            _refuse(name, config[name], NAMES, alike)
    return {name: value for name, value in config.items() if name in NAMES and value is not None}


def _refuse(name: str, value: Any, known: Iterable[str], alike: str | None) -> NoReturn:
    hint = f"did you mean {alike}? " if alike else ""
    raise ValueError(
        f"unknown rendezvous option {name}={value!r}: {hint}known are {', '.join(sorted(known))}"
    )


def _nearest(name: str, known: Iterable[str], at_least: float = 0.6) -> str | None:
    """Return the name that was probably meant, if one is alike enough, from 0 to 1."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=at_least)), None)


def lease_of(keep_alive_interval: Any = 5, keep_alive_max_attempt: Any = 3) -> float:
    """Return how long a silent member lives by torch's two options, in seconds.

    Raises:
        ValueError: one of them is not allowed.
    """
    interval_s = _seconds("keep_alive_interval", keep_alive_interval)
    attempts = _attempts(keep_alive_max_attempt)
    return min(max(interval_s * attempts, _LEAST["lease_ttl"]), 1e9 - 1)


def _attempts(value: Any) -> int:
    try:
        attempts = int(value)
    except (TypeError, ValueError, OverflowError):
        attempts = 0
    if isinstance(value, bool) or not 1 <= attempts < 1e9:
        raise OptionError("keep_alive_max_attempt", value, "a number, at least 1")
    return attempts


def number(value: Any) -> float:
    """Return seconds as a number: of one, of its text, or of a timedelta. Raises as float does."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _seconds(name: str, value: Any) -> float:
    least = _LEAST.get(name)
    allowed = "more than 0" if least is None else f"at least {least:g}"
    try:
        seconds = number(value)
    except (TypeError, ValueError):
        seconds = -1.0
    fits = 0 < seconds < 1e9 if least is None else least <= seconds < 1e9
    if isinstance(value, bool) or not fits:
        raise OptionError(name, value, f"a number of seconds, {allowed}")
    return seconds
