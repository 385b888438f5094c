"""What all pods have that are made for a job: no privilege, and little patience with lost nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from elasticjob_operator.provisioning.objects import Manifest

NOBODY: Final = 65532

RESTRICTED: Final[Manifest] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": NOBODY,
    "runAsGroup": NOBODY,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""A security context that the strictest pod security standard admits."""

NODE_LOSS_S: Final = 30


def node_loss(tolerations: Iterable[Manifest]) -> list[Manifest]:
    """Give a lost node's pods up soon: Kubernetes itself would wait five minutes.

    Args:
        tolerations: What is tolerated already; it stays as it is.
    """
    given = {entry.get("key") for entry in tolerations}
    keys = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    tolerated = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": NODE_LOSS_S}
    return [{"key": key, **tolerated} for key in keys if key not in given]
