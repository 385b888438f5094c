"""The etcd of a job's own: one member, or three that go on without one of them."""

from __future__ import annotations

from typing import Final

from elasticjob_operator import api, labels
from elasticjob_operator.provisioning import etcd_pod, names
from elasticjob_operator.provisioning.addresses import CLIENT_PORT, PEER_PORT
from elasticjob_operator.provisioning.objects import Manifest, Reference, owned
from elasticjob_operator.settings import Settings

STATEFUL_SET: Final = ("apps/v1", "StatefulSet")
SERVICE: Final = ("v1", "Service")
BUDGET: Final = ("policy/v1", "PodDisruptionBudget")


def references(job: api.ElasticJob) -> tuple[Reference, ...]:
    """Return what is made: the pods' owner comes last."""
    store = names.store(job)
    several = ((*SERVICE, names.peers(job)), (*BUDGET, store)) if _several(job) else ()
    return ((*SERVICE, store), *several, pods_owner(job))


def pods_owner(job: api.ElasticJob) -> Reference:
    """Return the object whose deletion takes the pods and their volumes along."""
    return (*STATEFUL_SET, names.store(job))


def manifests(
    job: api.ElasticJob, settings: Settings, *, joining: bool = False
) -> tuple[Manifest, ...]:
    """Return the etcd, and what stands in front of it.

    ``joining``: whether a new pod is to join the members that are there.
    """
    several = (_peers(job), _budget(job)) if _several(job) else ()
    return (_service(job), *several, _stateful_set(job, settings, joining=joining))


def _several(job: api.ElasticJob) -> bool:
    return len(names.members(job)) > 1


def _service(job: api.ElasticJob) -> Manifest:
    service = owned(job, *SERVICE, names.store(job), labels.STORE)
    service["spec"] = {
        "ipFamilyPolicy": "PreferDualStack",
        "selector": {labels.JOB: job.metadata.name, labels.ROLE: labels.STORE},
        "ports": [{"name": "etcd", "port": CLIENT_PORT, "targetPort": "etcd"}],
    }
    return service


def _peers(job: api.ElasticJob) -> Manifest:
    service = owned(job, *SERVICE, names.peers(job), labels.STORE)
    service["spec"] = {
        "clusterIP": "None",
        "ipFamilyPolicy": "PreferDualStack",
        # They must find each other before any of them can be ready.
        "publishNotReadyAddresses": True,
        "selector": {labels.JOB: job.metadata.name, labels.ROLE: labels.STORE},
        "ports": [
            {"name": "etcd", "port": CLIENT_PORT, "targetPort": "etcd"},
            {"name": "peer", "port": PEER_PORT, "targetPort": "peer"},
        ],
    }
    return service


def _budget(job: api.ElasticJob) -> Manifest:
    """Two members at a time would be too many, also when the second has just lost its leader.

    One that does not answer holds nobody up as long as the two others do.
    """
    budget = owned(job, *BUDGET, names.store(job), labels.STORE)
    budget["spec"] = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "IfHealthyBudget",
        "selector": labels.these(job.metadata.name, labels.STORE),
    }
    return budget


def _stateful_set(job: api.ElasticJob, settings: Settings, *, joining: bool) -> Manifest:
    tags = labels.of(job.metadata.name, labels.STORE)
    stateful_set = owned(job, *STATEFUL_SET, names.store(job), labels.STORE)
    stateful_set["spec"] = {
        "replicas": len(names.members(job)),
        "serviceName": names.peers(job) if _several(job) else names.store(job),
        "selector": labels.these(job.metadata.name, labels.STORE),
        # A new release of the operator must not restart the stores of running jobs.
        "updateStrategy": {"type": "OnDelete"},
        # None is ready before the others are there.
        **({"podManagementPolicy": "Parallel"} if _several(job) else {}),
        "template": {
            "metadata": {"labels": tags, "annotations": {labels.JOB_UID: job.metadata.uid}},
            "spec": etcd_pod.spec(job, settings, joining=joining),
        },
        **_volumes(job),
    }
    return stateful_set


def _volumes(job: api.ElasticJob) -> Manifest:
    """Return the members' volumes, which go with the StatefulSet."""
    storage = job.spec.rendezvous.etcd.storage
    if storage is None:
        return {}
    name = storage.storage_class_name
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size}},
        **({"storageClassName": name} if name else {}),
    }
    return {
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"},
        "volumeClaimTemplates": [{"metadata": {"name": etcd_pod.VOLUME}, "spec": claim}],
    }
