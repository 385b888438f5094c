"""What torchrun's agents tell each other in a round's store to give their workers ranks (pure).

Every agent writes how many workers it has under ``torchelastic/role_info/<rank>``; the one with
rank 0 adds them up, and each reads the first rank of its own workers from
``torchelastic/assigned_ranks/<rank>`` (``_assign_worker_ranks`` in torch's agent). An error on the
way ends the agent. So when the round ends before all have spoken, a stand-in is read in place of
what will never come: the agent goes on, sees that the round is over, and comes back.
"""

from __future__ import annotations

import json
from typing import Any, Final

_ROLE_INFO: Final = "torchelastic/role_info/"
_ASSIGNED: Final = "torchelastic/assigned_ranks/"


class RankExchange:
    """One agent's part in it.

    Args:
        world_size: The members of the round.
    """

    def __init__(self, world_size: int) -> None:
        self._world_size = world_size
        self._own: dict[str, Any] = {}

    @staticmethod
    def concerns(key: str) -> bool:
        """Return whether the key belongs to the exchange."""
        return key.startswith((_ROLE_INFO, _ASSIGNED))

    def note(self, key: str, value: Any) -> None:
        """Remember what this agent has said of itself."""
        if key.startswith(_ROLE_INFO) and not self._own:
            self._own = json.loads(value)

    def stand_in(self, key: str) -> bytes:
        """Return what would stand under the key if all agents were like this one."""
        rank = int(key.rpartition("/")[2])
        if key.startswith(_ROLE_INFO):
            return json.dumps({**self._own, "rank": rank}).encode()
        workers = int(self._own.get("local_world_size", 1))
        first, all_workers = rank * workers, self._world_size * workers
        return json.dumps([first, all_workers, first, all_workers]).encode()
