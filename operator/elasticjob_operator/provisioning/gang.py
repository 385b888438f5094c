"""Gang scheduling: enough workers for a round find nodes together, or none of them takes one.

Each scheduler has a PodGroup of its own, in the job's name. They agree on what counts here: a
minimum, which is minReplicas. Workers beyond it come and go one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from elasticjob_operator import api, labels
from elasticjob_operator.provisioning.objects import Manifest, owned


@dataclass(frozen=True)
class Dialect:
    """How a scheduler is told of a gang.

    Attributes:
        version: The API version of its PodGroup.
        labels: What a pod says of its group, as labels; ``{}`` stands for the group's name.
        annotations: The same as annotations.
        scheduler_name: The scheduler, where the template names none; empty for the cluster's own.
    """

    version: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    scheduler_name: str = ""


KIND: Final = "PodGroup"
DIALECTS: Final[Mapping[str, Dialect]] = {
    "Kubernetes": Dialect("scheduling.k8s.io/v1beta1"),
    "Coscheduling": Dialect(
        "scheduling.x-k8s.io/v1alpha1",
        labels={"scheduling.x-k8s.io/pod-group": "{}"},
        scheduler_name="scheduler-plugins-scheduler",
    ),
    "Volcano": Dialect(
        "scheduling.volcano.sh/v1beta1",
        annotations={"scheduling.k8s.io/group-name": "{}"},
        scheduler_name="volcano",
    ),
}


def manifests(job: api.ElasticJob) -> tuple[Manifest, ...]:
    """Return the job's PodGroup, if it is to have one."""
    wanted = job.spec.gang_scheduling
    if wanted is None:
        return ()
    version = DIALECTS[wanted.scheduler].version
    group = owned(job, version, KIND, job.metadata.name, labels.WORKER)
    least = job.spec.min_replicas
    if wanted.scheduler == "Kubernetes":
        group["spec"] = {"schedulingPolicy": {"gang": {"minCount": least}}}
    else:
        group["spec"] = {"minMember": least}
    if wanted.queue:
        group["spec"]["queue"] = wanted.queue
    return (group,)


def enlist(job: api.ElasticJob, pod: Manifest) -> None:
    """Have the pod belong to the job's PodGroup, if there is one."""
    if job.spec.gang_scheduling is None:
        return
    dialect, name = DIALECTS[job.spec.gang_scheduling.scheduler], job.metadata.name
    metadata, spec = pod["metadata"], pod["spec"]
    metadata["labels"] |= {key: text.format(name) for key, text in dialect.labels.items()}
    metadata["annotations"] |= {key: text.format(name) for key, text in dialect.annotations.items()}
    if dialect.scheduler_name:
        spec.setdefault("schedulerName", dialect.scheduler_name)
    if job.spec.gang_scheduling.scheduler == "Kubernetes":
        spec["schedulingGroup"] = {"podGroupName": name}


def unknown(manifest: Manifest) -> str:
    """Return what to say when the cluster does not know the kind of this PodGroup."""
    version = manifest["apiVersion"]
    (scheduler,) = (name for name, dialect in DIALECTS.items() if dialect.version == version)
    return (
        f"gangScheduling.scheduler is {scheduler}, but the cluster does not serve {KIND} of"
        f" {version}: {_HINTS.get(scheduler, 'is it installed?')}"
    )


_HINTS: Final = {
    "Kubernetes": "it takes Kubernetes 1.37 with the feature gate GenericWorkload and this API",
}
