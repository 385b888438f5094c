"""The job's HorizontalPodAutoscaler, which changes `replicas` between the job's own bounds."""

from __future__ import annotations

from typing import Final

from elasticjob_operator import api, labels
from elasticjob_operator.provisioning.objects import Manifest, Reference, owned

VERSION: Final = "autoscaling/v2"
KIND: Final = "HorizontalPodAutoscaler"


def manifest(job: api.ElasticJob) -> Manifest | None:
    """Return the autoscaler, if the job is to have one."""
    wanted = job.spec.autoscaling
    if wanted is None:
        return None
    scaler = owned(job, VERSION, KIND, job.metadata.name, labels.WORKER)
    scaler["spec"] = {
        "scaleTargetRef": {
            "apiVersion": api.API_VERSION,
            "kind": api.KIND,
            "name": job.metadata.name,
        },
        "minReplicas": job.spec.min_replicas,
        "maxReplicas": job.spec.max_replicas,
        "metrics": list(wanted.metrics),
        **({"behavior": wanted.behavior} if wanted.behavior else {}),
    }
    return scaler


def reference(job: api.ElasticJob) -> Reference:
    """Return what the autoscaler is called."""
    return (VERSION, KIND, job.metadata.name)
