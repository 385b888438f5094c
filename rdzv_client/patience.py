"""How often training may fail here while nobody counts (pure).

torchrun starts a failed worker again and asks nobody. How often is too often says the operator,
which sees the failures of all nodes and tells them from what its peers' losses bring about. While
it is away a script that always fails would be started again for ever; so each agent counts what
the operator has not seen, and gives up when that is clearly more than it would let pass.
"""

from __future__ import annotations

from typing import Final

from rdzv_client import wire

MARGIN: Final = 10
"""The operator may be late, and a peer's loss may look like a failure."""


class Patience:
    """What one agent knows of the failures of its own workers."""

    def __init__(self) -> None:
        self._after: list[int] = []

    @property
    def is_strained(self) -> bool:
        """Whether it is time to ask what the operator has seen."""
        return len(self._after) > MARGIN

    def note(self, before: wire.Round, after: wire.Round) -> None:
        """Take note that workers failed here in one round, and which round came of it.

        Where a member is missing after it, its loss is taken for the cause.
        """
        if after.cause == "restart" and after.world_size >= before.world_size:
            self._after.append(after.number)

    def ends(self, settings: wire.Settings | None) -> str:
        """Return why there is none left, as a sentence; empty while there is."""
        if settings is None or settings.failures_left is None:
            return ""
        self._after = [number for number in self._after if number > settings.round_floor]
        count, left = len(self._after), settings.failures_left
        if count <= left + MARGIN:
            return ""
        return (
            f"its workers failed {count} times since the operator last looked, which would have"
            f" let {left} failures pass"
        )
