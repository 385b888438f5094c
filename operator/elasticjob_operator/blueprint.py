"""What workers are made from, and which of them were made from something else."""

from __future__ import annotations

import hashlib
import json

from elasticjob_operator import api
from elasticjob_operator.pod_facts import WorkerPod

DIGEST_CHARS = 16


def digest(spec: api.ElasticJobSpec) -> str:
    """Return a short text that changes with what workers are made from."""
    made_from: tuple[object, ...] = (
        spec.template,
        str(spec.nproc_per_node),
        spec.training_container,
        spec.client_injection,
    )
    # What is left out adds nothing: pods that an older operator made stay up to date.
    if spec.gang_scheduling:
        made_from = (*made_from, spec.gang_scheduling.scheduler)
    if spec.topology_key:
        made_from = (*made_from, spec.topology_key)
    text = json.dumps(made_from, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]


def is_outdated(pod: WorkerPod, current: str) -> bool:
    """Return whether the pod was made before an edit.

    The user may edit a suspended job, and resume it before its pods are gone.
    """
    return pod.blueprint not in {"", current}
