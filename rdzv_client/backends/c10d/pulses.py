"""Who shows life, told from counters that move (pure).

Every member adds to a counter of its own four times in a lease, and whoever watches reads as often.
One that was last seen to move 0.7 leases ago counts as lost, so that a loss is known at most one
lease after it happened, and a pause of 0.45 leases is survived.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

BEATS_PER_LEASE: Final = 4

_SILENT: Final = 0.7  # of a lease; the third reading comes after 0.75


class Pulses:
    """When counters were last seen to move, by the observer's own clock.

    Whoever has not looked for a while, because it was paused or the store was, knows nothing: all
    have a whole lease again from then on.

    Args:
        lease_ttl_s: The lease.
    """

    def __init__(self, lease_ttl_s: float) -> None:
        self._silent_s = lease_ttl_s * _SILENT
        self._longest_gap_s = lease_ttl_s * 2 / BEATS_PER_LEASE
        self._looked_at: float | None = None
        self._seen: dict[int, tuple[int, float]] = {}

    def observe(self, counts: Mapping[int, int], now: float) -> list[int]:
        """Take a reading of all that are watched; return the numbers of those lost by now."""
        if self._looked_at is None or now - self._looked_at > self._longest_gap_s:
            self._seen.clear()
        self._looked_at = now
        before, self._seen = self._seen, {}
        for number, count in counts.items():
            known = before.get(number)
            self._seen[number] = known if known and known[0] == count else (count, now)
        return [number for number, (_, at) in self._seen.items() if now - at >= self._silent_s]
