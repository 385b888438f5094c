"""What the kernel did to this container for lack of memory, in words.

It ends a process by SIGKILL and tells nobody. Kubernetes hears of it when it is the container's
first process, and of a worker, or of one that loads data for it, only the container's own cgroup
knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
_MIB: Final = 1 << 20
_UNLIMITED: Final = 1 << 60
"""The first version of cgroups says a number beyond this where there is no limit."""

_EVENTS: Final = ("memory.events", "memory/memory.oom_control")
_LIMITS: Final = ("memory.max", "memory/memory.limit_in_bytes")
"""Where both stand, in the second and the first version of cgroups."""


class Kills:
    """The processes of this container that the kernel killed, from now on.

    Args:
        cgroups: Where the container sees its own cgroup.
    """

    def __init__(self, cgroups: Path = CGROUPS) -> None:
        self._cgroups = cgroups
        self._told = self._count()

    def news(self) -> str:
        """Return a part of a sentence if there were some since the last call, else nothing."""
        count, told = self._count(), self._told
        self._told = count
        if count <= told:
            return ""
        limit = self._limit_bytes()
        words = "out of memory: the kernel killed a process of the container"
        return f"{words}, which may use {limit // _MIB} MiB" if limit else words

    def _count(self) -> int:
        for line in self._read(_EVENTS).splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill" and number.isdigit():
                return int(number)
        return 0

    def _limit_bytes(self) -> int | None:
        text = self._read(_LIMITS).strip()
        return int(text) if text.isdigit() and int(text) < _UNLIMITED else None

    def _read(self, names: tuple[str, ...]) -> str:
        for name in names:
            try:
                return (self._cgroups / name).read_text()
            except OSError:  # another version, or no cgroups at all
                continue
        return ""
