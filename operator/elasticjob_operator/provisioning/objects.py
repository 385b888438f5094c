"""Objects that belong to a job."""

from __future__ import annotations

from typing import Any

from elasticjob_operator import api, labels

Manifest = dict[str, Any]
Reference = tuple[str, str, str]
"""API version, kind and name."""


def owner(job: api.ElasticJob) -> Manifest:
    """Return the reference by which an object goes when the job goes."""
    return {
        "apiVersion": api.API_VERSION,
        "kind": api.KIND,
        "name": job.metadata.name,
        "uid": job.metadata.uid,
        "controller": True,
        # Blocking would need a right on the job's finalizers, and is of use to nobody here.
        "blockOwnerDeletion": False,
    }


def owned(job: api.ElasticJob, version: str, kind: str, name: str, role: str) -> Manifest:
    """Return the start of an object that goes when the job goes."""
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": job.metadata.namespace,
            "labels": labels.of(job.metadata.name, role),
            "ownerReferences": [owner(job)],
        },
    }
