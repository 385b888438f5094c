"""The etcd of a job's own."""

from __future__ import annotations

from typing import Final

from elasticjob_operator import api, labels
from elasticjob_operator.provisioning import names
from elasticjob_operator.provisioning.addresses import CLIENT_PORT, store_urls
from elasticjob_operator.provisioning.objects import Manifest, owned
from elasticjob_operator.provisioning.pod_defaults import NOBODY, RESTRICTED, node_loss
from elasticjob_operator.settings import Settings

BINARY: Final = "/opt/etcd/etcd"
DATA: Final = "/var/run/etcd"


def manifests(job: api.ElasticJob, settings: Settings) -> tuple[Manifest, ...]:
    """Return the etcd and the Service in front of it."""
    return (_service(job), _stateful_set(job, settings))


def _service(job: api.ElasticJob) -> Manifest:
    service = owned(job, "v1", "Service", names.store(job), labels.STORE)
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
    stateful_set = owned(job, "apps/v1", "StatefulSet", names.store(job), labels.STORE)
    stateful_set["spec"] = {
        "replicas": 1,
        "serviceName": names.store(job),
        "selector": {
            "matchLabels": {labels.JOB: job.metadata.name, labels.ROLE: labels.STORE},
        },
        # A new release of the operator must not restart the stores of running jobs.
        "updateStrategy": {"type": "OnDelete"},
        "template": {
            "metadata": {"labels": tags, "annotations": {labels.JOB_UID: job.metadata.uid}},
            "spec": {
                "serviceAccountName": names.service_account(job),
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
            BINARY,
            f"--name={names.store(job)}-0",
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
