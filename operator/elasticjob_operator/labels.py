"""The labels and annotations by which the operator knows its objects again."""

from __future__ import annotations

from typing import Final

JOB: Final = "rdzv.dev/job"
ROLE: Final = "rdzv.dev/role"
INDEX: Final = "rdzv.dev/index"
ATTEMPT: Final = "rdzv.dev/attempt"
JOB_UID: Final = "rdzv.dev/job-uid"
"""On pods that the job owns only through another object."""

BLUEPRINT: Final = "rdzv.dev/blueprint"
"""On a worker's pod: a digest of what it was made from."""

TOPOLOGY_KEY: Final = "rdzv.dev/topology-key"
"""On a worker's pod: the label by which it says where it runs."""
HOSTNAME: Final = "kubernetes.io/hostname"
"""The label for which a pod need not be told: it knows its node's name."""

WORKER: Final = "worker"
STORE: Final = "store"

NAME: Final = "app.kubernetes.io/name"
OPERATOR: Final = "elasticjob-operator"
"""The name of the operator's own pods, as the chart labels them."""

CLIENT: Final = "rdzv-client"
"""The name of the init container that brings the rendezvous client, and of its volume."""

TRAINING_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
"""Names the training container; kubectl's own annotation, so that `kubectl logs` picks it too."""


def of(job: str, role: str) -> dict[str, str]:
    """Return the labels of everything with this role that is made for the job."""
    return {
        JOB: job,
        ROLE: role,
        NAME: "elasticjob",
        "app.kubernetes.io/instance": job,
        "app.kubernetes.io/component": role,
        "app.kubernetes.io/managed-by": "elasticjob-operator",
    }


def these(job: str, role: str) -> dict[str, dict[str, str]]:
    """Return the label selector, as objects have it, of everything with this role."""
    return {"matchLabels": {JOB: job, ROLE: role}}


def selector(job: str, role: str) -> str:
    """Return the selector of everything with this role that is made for the job."""
    return f"{JOB}={job},{ROLE}={role}"
