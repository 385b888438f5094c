"""A worker's pod: the user's template, the rendezvous client, and torchrun's environment.

torchrun reads each of its options from a variable ``PET_<OPTION>`` where the command line does not
set it, so the user's command stays plain ``torchrun train.py``. The variables go into the training
container alone.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from elasticjob_operator import api, blueprint, book, labels
from elasticjob_operator.observed import run_id
from elasticjob_operator.provisioning import (
    addresses,
    client,
    credentials,
    gang,
    names,
    pod_defaults,
)
from elasticjob_operator.provisioning.objects import owner
from elasticjob_operator.settings import Settings
from rdzv_client import progress

Manifest = dict[str, Any]

PROGRESS_FOLDER: Final = "/run/elasticjob/progress"
TERMINATION_LOG: Final = "/dev/termination-log"
DEFAULT_GRACE_S: Final = 30
SAVING_S: Final = 10
"""Between torchrun's SIGKILL of its workers and the kubelet's of torchrun."""
UNLIMITED_RESTARTS: Final = 1_000_000
"""torchrun would count failures of its peers, too; the operator enforces maxRestarts."""


def worker(job: api.ElasticJob, index: int, attempt: int, settings: Settings) -> Manifest:
    """Return the pod for this index and attempt."""
    template = deepcopy(job.spec.template)
    metadata, spec = template.get("metadata") or {}, template["spec"]
    training = _training(job, spec)
    training["env"] = environment(job, index, spec, training)
    training.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    if job.spec.client_injection == "Auto":
        image = job.status.client_image or settings.client_image
        client.inject(spec, training, image, settings.image_pull_policy)
    _mount_credentials(job, spec, training, settings)
    _make_room_for_progress(spec, training)
    _complete(job, spec)
    name = job.metadata.name
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": book.pod_name(name, index, attempt),
            "namespace": job.metadata.namespace,
            "labels": {
                **(metadata.get("labels") or {}),
                **labels.of(name, labels.WORKER),
                labels.INDEX: str(index),
                labels.ATTEMPT: str(attempt),
            },
            "annotations": {
                **(metadata.get("annotations") or {}),
                labels.TRAINING_CONTAINER: training["name"],
                labels.BLUEPRINT: blueprint.digest(job.spec),
                **({labels.TOPOLOGY_KEY: job.spec.topology_key} if job.spec.topology_key else {}),
            },
            "ownerReferences": [owner(job)],
        },
        "spec": spec,
    }
    gang.enlist(job, pod)
    return pod


# --- environment -------------------------------------------------------------------------------


def environment(
    job: api.ElasticJob, index: int, spec: Manifest, training: Manifest
) -> list[Manifest]:
    """Return the training container's environment: the template's own, then ours."""
    own = list(training.get("env") or ())
    ours = [*_torchrun(job, index, spec), *_identity(job, index), _termination_log(training)]
    if job.spec.client_injection == "Auto":
        ours += client.python_path(own)
    set_by_us = {entry["name"] for entry in ours}
    return [entry for entry in own if entry["name"] not in set_by_us] + ours


def _torchrun(job: api.ElasticJob, index: int, spec: Manifest) -> list[Manifest]:
    wanted, rendezvous = job.spec, job.spec.rendezvous
    grace_s = spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_S)
    conf = {
        "join_timeout": rendezvous.join_timeout_seconds,
        "last_call_timeout": rendezvous.last_call_seconds,
        "admission_window": rendezvous.admission_window_seconds,
        "lease_ttl": rendezvous.lease_seconds,
    }
    if rendezvous.admission_interval_seconds:  # a client that was pinned before may not know it
        conf["admission_interval"] = rendezvous.admission_interval_seconds
    values = {
        "PET_RDZV_BACKEND": "k8s",
        "PET_RDZV_ENDPOINT": addresses.worker_endpoint(job, index),
        "PET_RDZV_ID": run_id(job),
        "PET_RDZV_CONF": ",".join(f"{name}={value}" for name, value in conf.items()),
        "PET_NNODES": f"{wanted.min_replicas}:{wanted.max_replicas}",
        "PET_NPROC_PER_NODE": str(wanted.nproc_per_node),
        "PET_MAX_RESTARTS": str(UNLIMITED_RESTARTS),
        "PET_SHUTDOWN_TIMEOUT": str(max(1, grace_s - SAVING_S)),
    }
    if str(wanted.nproc_per_node).isdigit():
        # All agents have as many workers, so torchrun need not ask each of them.
        values["TORCH_ELASTIC_WORKER_IDENTICAL"] = "1"
    return [
        {"name": "PET_LOCAL_ADDR", **_field("status.podIP")},
        *({"name": name, "value": value} for name, value in values.items()),
    ]


def _identity(job: api.ElasticJob, index: int) -> list[Manifest]:
    return [
        *_topology(job.spec.topology_key),
        {"name": "RDZV_POD_NAME", **_field("metadata.name")},
        {"name": "RDZV_POD_UID", **_field("metadata.uid")},
        {"name": "RDZV_NODE_NAME", **_field("spec.nodeName")},
        {"name": "RDZV_SLOT", "value": str(index)},
        {"name": progress.FOLDER, "value": PROGRESS_FOLDER},
    ]


def _topology(key: str | None) -> list[Manifest]:
    """Have the worker say where it runs: see :mod:`elasticjob_operator.policies.topology`."""
    if key is None:
        return []
    path = "spec.nodeName" if key == labels.HOSTNAME else f"metadata.labels['{key}']"
    return [{"name": "RDZV_TOPOLOGY", **_field(path)}]


def _termination_log(training: Manifest) -> Manifest:
    """Say where Kubernetes reads what the client knows of a worker that failed."""
    path = training.get("terminationMessagePath", TERMINATION_LOG)
    return {"name": "RDZV_TERMINATION_LOG", "value": path}


def _field(path: str) -> Manifest:
    return {"valueFrom": {"fieldRef": {"fieldPath": path}}}


# --- pod ---------------------------------------------------------------------------------------


def _training(job: api.ElasticJob, spec: Manifest) -> Manifest:
    name = api.training_container(job.spec)
    container: Manifest = next(c for c in spec["containers"] if c["name"] == name)
    return container


def _mount_credentials(
    job: api.ElasticJob, spec: Manifest, training: Manifest, settings: Settings
) -> None:
    """Give what the store asks for to the training container alone."""
    volume = credentials.worker_volume(job, settings)
    if volume is None:
        return
    folder = credentials.WORKER_FOLDER
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]
    training["volumeMounts"] = [*(training.get("volumeMounts") or ()), credentials.mount(folder)]
    training["env"].append({"name": "RDZV_CREDENTIALS", "value": folder})


def _make_room_for_progress(spec: Manifest, training: Manifest) -> None:
    """Give the script a folder where it may say how far it has come: see docs/jobs.md."""
    volume = {"name": "rdzv-progress", "emptyDir": {}}
    mount = {"name": volume["name"], "mountPath": PROGRESS_FOLDER}
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]
    training["volumeMounts"] = [*(training.get("volumeMounts") or ()), mount]


def _complete(job: api.ElasticJob, spec: Manifest) -> None:
    spec["restartPolicy"] = "Never"
    # The variables of every Service of the namespace help nobody and can hide the user's own.
    spec.setdefault("enableServiceLinks", False)
    if "serviceAccountName" not in spec:
        spec["serviceAccountName"] = names.service_account(job)
        spec.setdefault("automountServiceAccountToken", False)
    if not spec.get("topologySpreadConstraints"):
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {
                    "matchLabels": {labels.JOB: job.metadata.name, labels.ROLE: labels.WORKER}
                },
            }
        ]
    own = spec.get("tolerations") or ()
    spec["tolerations"] = [*own, *pod_defaults.node_loss(own)]
