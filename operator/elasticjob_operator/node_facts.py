"""Nodes, reduced to what the operator needs of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from elasticjob_operator.timestamps import EPOCH, instant

OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
"""The taint by which an administrator says that a node is off, and nothing on it runs."""


@dataclass(frozen=True)
class Node:
    """What the operator keeps of a node.

    Attributes:
        absent: Whether the API server knows no such node any more.
        out_of_service: Whether an administrator said that nothing on it runs.
        unready_since: Since when it has not been ready; None while it is.
        words: Why not, in the words of its condition.
        labels: Its labels.
    """

    name: str
    absent: bool = False
    out_of_service: bool = False
    unready_since: datetime | None = None
    words: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def ready(self) -> bool:
        return not self.off and self.unready_since is None

    @property
    def off(self) -> bool:
        """Whether it is certain that nothing on it runs."""
        return self.absent or self.out_of_service


def node(body: Mapping[str, Any]) -> Node:
    """Reduce a node to what the operator needs of it."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    taints = (body.get("spec") or {}).get("taints") or ()
    ready = next((entry for entry in conditions if entry["type"] == "Ready"), {"status": "True"})
    is_ready = ready["status"] == "True"
    return Node(
        name=body["metadata"]["name"],
        out_of_service=any(taint.get("key") == OUT_OF_SERVICE for taint in taints),
        unready_since=None if is_ready else instant(ready.get("lastTransitionTime")) or EPOCH,
        words="" if is_ready else ready.get("message") or ready.get("reason") or "",
        labels=dict(body["metadata"].get("labels") or {}),
    )
