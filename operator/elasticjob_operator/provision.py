"""What is made for a job besides its workers: a service account and the rendezvous store.

Everything is owned by the job, so that Kubernetes deletes it with the job, whether the operator is
there or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from elasticjob_operator import api, labels
from elasticjob_operator.settings import Settings

Manifest = dict[str, Any]

CLIENT_PORT: Final = 2379
ETCD: Final = "/opt/etcd/etcd"
DATA: Final = "/var/run/etcd"
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


# --- names and addresses -----------------------------------------------------------------------


def store_name(job: api.ElasticJob) -> str:
    return f"{job.metadata.name}-rdzv"


def service_account_name(job: api.ElasticJob) -> str:
    return f"{job.metadata.name}-worker"


def has_own_store(job: api.ElasticJob) -> bool:
    """Return whether the operator runs the store for this job."""
    return not job.spec.rendezvous.etcd.endpoints


def store_urls(job: api.ElasticJob, address: str = "") -> tuple[str, ...]:
    """Return where the store listens: at its Service's ``address``, where that is known."""
    if not has_own_store(job):
        return job.spec.rendezvous.etcd.endpoints
    host = address or f"{store_name(job)}.{job.metadata.namespace}.svc"
    host = f"[{host}]" if ":" in host else host
    return (f"http://{host}:{CLIENT_PORT}",)


def worker_endpoint(job: api.ElasticJob) -> str:
    """Return where the workers reach the store, as torchrun is told."""
    hosts = ";".join(url.removeprefix("http://") for url in store_urls(job))
    return f"etcd://{hosts}"


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


# --- manifests ---------------------------------------------------------------------------------


def manifests(job: api.ElasticJob, settings: Settings) -> tuple[Manifest, ...]:
    """Return what must be there before the first worker."""
    account = _object(job, "v1", "ServiceAccount", service_account_name(job), labels.WORKER)
    account["automountServiceAccountToken"] = False
    if not has_own_store(job):
        return (account,)
    return (account, _service(job), _stateful_set(job, settings))


def _object(job: api.ElasticJob, version: str, kind: str, name: str, role: str) -> Manifest:
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


def _service(job: api.ElasticJob) -> Manifest:
    service = _object(job, "v1", "Service", store_name(job), labels.STORE)
    service["spec"] = {
        "selector": {labels.JOB: job.metadata.name, labels.ROLE: labels.STORE},
        "ports": [{"name": "etcd", "port": CLIENT_PORT, "targetPort": "etcd"}],
    }
    return service


def _stateful_set(job: api.ElasticJob, settings: Settings) -> Manifest:
    """One etcd on memory that lives and dies with its pod.

    The members carry all that matters: a store that comes back empty is filled again.
    """
    tags = labels.of(job.metadata.name, labels.STORE)
    stateful_set = _object(job, "apps/v1", "StatefulSet", store_name(job), labels.STORE)
    stateful_set["spec"] = {
        "replicas": 1,
        "serviceName": store_name(job),
        "selector": {
            "matchLabels": {labels.JOB: job.metadata.name, labels.ROLE: labels.STORE},
        },
        # A new release of the operator must not restart the stores of running jobs.
        "updateStrategy": {"type": "OnDelete"},
        "template": {
            "metadata": {"labels": tags, "annotations": {labels.JOB_UID: job.metadata.uid}},
            "spec": {
                "serviceAccountName": service_account_name(job),
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": 5,
                "tolerations": node_loss(()),
                "securityContext": {"fsGroup": NOBODY},
                "containers": [_etcd(job, settings)],
                "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}],
            },
        },
    }
    return stateful_set


def _etcd(job: api.ElasticJob, settings: Settings) -> Manifest:
    probe = {"httpGet": {"path": "/readyz", "port": "etcd"}, "periodSeconds": 1}
    return {
        "name": "etcd",
        "image": settings.etcd_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": [
            ETCD,
            f"--name={store_name(job)}-0",
            f"--data-dir={DATA}",
            f"--listen-client-urls=http://0.0.0.0:{CLIENT_PORT}",
            f"--advertise-client-urls={store_urls(job)[0]}",
            # An etcd that lost its data is another cluster, by whose id the watches know it.
            "--initial-cluster-token=$(POD_UID)",
            "--auto-compaction-mode=revision",
            "--auto-compaction-retention=10000",
            # Nothing is lost with the disk that the members do not bring back.
            "--unsafe-no-fsync",
        ],
        "env": [{"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}],
        "ports": [{"name": "etcd", "containerPort": CLIENT_PORT}],
        "readinessProbe": {**probe, "failureThreshold": 3},
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": "etcd"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": "1Gi"},
        },
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "data", "mountPath": DATA}],
    }
