"""Who of the members is alive (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from rdzv_client.replica import Contact


class Life:
    """Who is alive: whose beats have grown within a lease, on the clock of who looks.

    A member that is seen for the first time is alive, and so is everybody after a time in which
    the backend was not heard.

    Args:
        lease_ttl_s: The lease.
        now: The time.

    Attributes:
        beats: Member id to its beats as they were last seen.
    """

    def __init__(self, lease_ttl_s: float, now: float) -> None:
        self._lease_ttl_s = lease_ttl_s
        self._contact = Contact(lease_ttl_s, now)
        self._grown_at: dict[str, float] = {}
        self.beats: Mapping[str, int] = {}

    def seen(self, beats: Mapping[str, int], now: float) -> None:
        """Take note of the beats of all members there are."""
        self._contact.beaten(now)
        self._grown_at = {
            member: self._grown_at[member] if self.beats.get(member) == count else now
            for member, count in beats.items()
        }
        self.beats = beats

    def silent(self, now: float) -> set[str]:
        """Return those who have shown no life for a lease in which the backend was heard."""
        since = self._contact.since(now)
        return {
            member
            for member, grown_at in self._grown_at.items()
            if now - max(grown_at, since) > self._lease_ttl_s
        }
