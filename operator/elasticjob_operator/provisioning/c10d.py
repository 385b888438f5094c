"""The host of a job's TCPStore: a pod of its own, of the training image, since torch is there.

Members reach the store when the host is ready, and it is ready when the operator has seeded it: on
an empty store newcomers would begin a second world. The operator reaches the bridge before that.
"""

from __future__ import annotations

from typing import Any, Final

from elasticjob_operator import api, labels
from elasticjob_operator.provisioning import client, credentials, names
from elasticjob_operator.provisioning.addresses import BRIDGE_PORT, TCP_STORE_PORT
from elasticjob_operator.provisioning.objects import Manifest, Reference, owned
from elasticjob_operator.provisioning.pod_defaults import NOBODY, RESTRICTED, node_loss
from elasticjob_operator.settings import Settings

STATEFUL_SET: Final = ("apps/v1", "StatefulSet")
SERVICE: Final = ("v1", "Service")
TOKEN_FILE: Final = f"{credentials.STORE_FOLDER}/token"
LIKE_WORKERS: Final = ("imagePullSecrets", "nodeSelector", "tolerations", "runtimeClassName")
"""What of the worker's pod decides where its image can be had, and can run."""


def references(job: api.ElasticJob) -> tuple[Reference, ...]:
    """Return what is made: the pod's owner comes last."""
    services = ((*SERVICE, names.store(job)), (*SERVICE, names.bridge(job)))
    return (*services, (*STATEFUL_SET, names.store(job)))


def manifests(job: api.ElasticJob, settings: Settings) -> tuple[Manifest, ...]:
    """Return the host, its Secret, and what stands in front of it."""
    return (
        credentials.token_secret(job, settings),
        _service(job, names.store(job), "store", TCP_STORE_PORT),
        _service(job, names.bridge(job), "bridge", BRIDGE_PORT, publishNotReadyAddresses=True),
        _stateful_set(job, settings),
    )


def _service(job: api.ElasticJob, name: str, port: str, number: int, **more: Any) -> Manifest:
    service = owned(job, *SERVICE, name, labels.STORE)
    service["spec"] = {
        "ipFamilyPolicy": "PreferDualStack",
        "selector": {labels.JOB: job.metadata.name, labels.ROLE: labels.STORE},
        "ports": [{"name": port, "port": number, "targetPort": port}],
        **more,
    }
    return service


def _stateful_set(job: api.ElasticJob, settings: Settings) -> Manifest:
    tags = labels.of(job.metadata.name, labels.STORE)
    stateful_set = owned(job, *STATEFUL_SET, names.store(job), labels.STORE)
    stateful_set["spec"] = {
        "replicas": 1,
        "serviceName": names.store(job),
        "selector": labels.these(job.metadata.name, labels.STORE),
        # A new release of the operator must not restart the stores of running jobs.
        "updateStrategy": {"type": "OnDelete"},
        "template": {
            "metadata": {"labels": tags, "annotations": {labels.JOB_UID: job.metadata.uid}},
            "spec": _pod(job, settings),
        },
    }
    return stateful_set


def _pod(job: api.ElasticJob, settings: Settings) -> Manifest:
    wanted = job.spec.template["spec"]
    training = _training(job)
    host = _container(training)
    pod = {
        **{key: wanted[key] for key in LIKE_WORKERS if key in wanted},
        "serviceAccountName": names.service_account(job),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"fsGroup": NOBODY},
        "containers": [host],
        "volumes": [
            credentials.store_volume(job, settings),
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }
    own = wanted.get("tolerations") or ()
    pod["tolerations"] = [*own, *node_loss(own)]
    if job.spec.client_injection == "Auto":
        image = job.status.client_image or settings.client_image
        client.inject(pod, host, image, settings.image_pull_policy)
        host["env"] += client.python_path(_python_path(training))
    return pod


def _container(training: Manifest) -> Manifest:
    pull_policy = training.get("imagePullPolicy")
    return {
        "name": "host",
        "image": training["image"],
        **({"imagePullPolicy": pull_policy} if pull_policy else {}),
        "command": [
            *("python3", "-m", "rdzv_client.c10d_host", f"--token-file={TOKEN_FILE}"),
            *(f"--port={TCP_STORE_PORT}", f"--bridge-port={BRIDGE_PORT}"),
        ],
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "OMP_NUM_THREADS", "value": "1"}],  # noqa: S108
        "ports": [
            {"name": "store", "containerPort": TCP_STORE_PORT},
            {"name": "bridge", "containerPort": BRIDGE_PORT},
        ],
        # torch takes its time to be imported.
        "startupProbe": {**_probe("/healthz"), "periodSeconds": 1, "failureThreshold": 300},
        "readinessProbe": {**_probe("/readyz"), "periodSeconds": 1, "failureThreshold": 3},
        "livenessProbe": {**_probe("/healthz"), "periodSeconds": 10, "failureThreshold": 6},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": {"cpu": "50m", "memory": "512Mi"},
            "limits": {"memory": "2Gi"},
        },
        "securityContext": RESTRICTED,
        "volumeMounts": [
            credentials.mount(credentials.STORE_FOLDER),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _probe(path: str) -> Manifest:
    return {"httpGet": {"path": path, "port": "bridge"}, "timeoutSeconds": 10}


def _training(job: api.ElasticJob) -> Manifest:
    name = api.training_container(job.spec)
    container: Manifest = next(
        one for one in job.spec.template["spec"]["containers"] if one["name"] == name
    )
    return container


def _python_path(training: Manifest) -> list[Manifest]:
    return [entry for entry in training.get("env") or () if entry["name"] == "PYTHONPATH"]
