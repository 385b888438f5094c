"""The keys of a run."""

from __future__ import annotations

import functools
import re
import urllib.parse
from dataclasses import dataclass
from typing import Final

from rdzv_client.wire.errors import WireError

VERSION: Final = 1
NO_SLOT: Final = "-"

_LONGEST: Final = 253
_TOKEN = re.compile(r"[A-Za-z0-9._:@+-]{1,253}")


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

    @functools.cached_property
    def prefix(self) -> str:
        return f"{self.root}/v{VERSION}/{_quoted(self.run_id)}/"

    @functools.cached_property
    def operator(self) -> str:
        """Prefix of all that only the operator writes."""
        return f"{self.prefix}op/"

    @functools.cached_property
    def settings(self) -> str:
        return f"{self.operator}settings"

    @functools.cached_property
    def gone_prefix(self) -> str:
        return f"{self.operator}gone/"

    def gone(self, uid: str) -> str:
        return self.gone_prefix + require_token("pod uid", uid)

    @functools.cached_property
    def drain_prefix(self) -> str:
        return f"{self.operator}drain/"

    def drain(self, uid: str) -> str:
        return self.drain_prefix + require_token("pod uid", uid)

    @functools.cached_property
    def site_prefix(self) -> str:
        return f"{self.operator}site/"

    def site(self, node: str) -> str:
        return self.site_prefix + require_token("node", node)

    @functools.cached_property
    def members(self) -> str:
        return f"{self.prefix}members/"

    def slot(self, slot: int | None) -> str:
        """Prefix of the members that hold, or claim, this slot."""
        return f"{self.members}{NO_SLOT if slot is None else slot}/"

    def member(self, slot: int | None, member: str) -> str:
        return self.slot(slot) + require_token("member id", member)

    @functools.cached_property
    def left_prefix(self) -> str:
        return f"{self.prefix}left/"

    def left(self, member: str) -> str:
        return self.left_prefix + require_token("member id", member)

    @functools.cached_property
    def round(self) -> str:
        return f"{self.prefix}round"

    @functools.cached_property
    def ranks(self) -> str:
        return f"{self.prefix}ranks/"

    def rank(self, member: str) -> str:
        return self.ranks + require_token("member id", member)

    @functools.cached_property
    def steps_prefix(self) -> str:
        """Prefix of what members tell of their progress; it sorts behind all that they hear of."""
        return f"{self.prefix}steps/"

    def steps(self, member: str) -> str:
        return self.steps_prefix + require_token("member id", member)


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
