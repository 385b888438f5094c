"""Who plays: torch's own rendezvous and ours, each as torchrun's options and a store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.scoreboard.stores import EtcdStore, InFirstAgent, Place, TcpStore

# Shorter than the defaults, for both sides: they say how soon a wait is given up, and no situation
# is about their length. Without an admission window ours admits newcomers at once, as torch does.
_CONF: Final = {"last_call_timeout": 5, "join_timeout": 60}
_TORCH: Final = _CONF | {"read_timeout": 10}
_OURS: Final = _CONF | {"admission_window": 0}


@dataclass(frozen=True, eq=False)
class Contender:
    """A rendezvous backend.

    Attributes:
        name: As the table has it.
        backend: ``--rdzv-backend``.
        options: ``--rdzv-conf``.
        ours: Whether it is this project's.
        store: ``etcd`` or ``c10d``.
        scheme: What stands before the address in ``--rdzv-endpoint``.
    """

    name: str
    backend: str
    ours: bool
    store: str
    options: Mapping[str, object] = field(default_factory=dict)
    scheme: str = ""

    def open(self, folder: Path, *, apart: bool) -> AbstractContextManager[Any]:
        """Start a store of this contender's kind."""
        if self.store == "etcd":
            return EtcdStore(folder)
        return TcpStore() if apart else InFirstAgent()

    def conf(self, place: Place, more: Mapping[str, object]) -> str:
        """Return the value of ``--rdzv-conf``; what is None is left out."""
        host = {"is_host": 0} if self.store == "c10d" and not place.in_agent else {}
        chosen = {**self.options, **host, **more}
        return ",".join(f"{k}={v}" for k, v in chosen.items() if v is not None)

    def environment(self, _name: str) -> dict[str, str]:
        """Return what an agent's environment has for this contender alone."""
        return {}


TORCH: Final = Contender("torch c10d", "c10d", ours=False, store="c10d", options=_TORCH)
ETCD: Final = Contender("etcd-v3", "etcd-v3", ours=True, store="etcd", options=_OURS)
C10D: Final = Contender("c10d-v2", "c10d-v2", ours=True, store="c10d", options=_OURS)


@dataclass(frozen=True, eq=False)
class Pods(Contender):
    """Agents with an environment like the one that the operator injects into its pods."""

    def environment(self, name: str) -> dict[str, str]:
        slot = name.rpartition(".")[2]
        return {
            "RDZV_POD_UID": f"uid-{slot}",
            "RDZV_POD_NAME": f"pod-{slot}",
            "RDZV_SLOT": slot,
            "PET_LOCAL_ADDR": name,
        }


K8S: Final = Pods("k8s", "k8s", ours=True, store="etcd", options=_OURS, scheme="etcd://")
