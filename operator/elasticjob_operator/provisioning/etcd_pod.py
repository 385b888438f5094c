"""The pod of one member of a job's own etcd."""

from __future__ import annotations

from typing import Final

from elasticjob_operator import api, labels
from elasticjob_operator.provisioning import addresses, credentials, names
from elasticjob_operator.provisioning.addresses import CLIENT_PORT, HEALTH_PORT, PEER_PORT
from elasticjob_operator.provisioning.objects import Manifest
from elasticjob_operator.provisioning.pod_defaults import NOBODY, RESTRICTED, node_loss
from elasticjob_operator.settings import Settings

BINARY: Final = "/opt/etcd/etcd"
DATA: Final = "/var/run/etcd"
VOLUME: Final = "data"
SPREAD_OVER: Final = {"topology.kubernetes.io/zone": 50, "kubernetes.io/hostname": 100}


def spec(job: api.ElasticJob, settings: Settings, *, joining: bool) -> Manifest:
    """Return the pod; without a volume of its own, its data lives and dies with it."""
    on_disk = job.spec.rendezvous.etcd.storage is not None
    emptied = () if on_disk else ({"name": VOLUME, "emptyDir": {"sizeLimit": "1Gi"}},)
    return {
        "serviceAccountName": names.service_account(job),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "tolerations": node_loss(()),
        "securityContext": {"fsGroup": NOBODY},
        "containers": [_container(job, settings, joining=joining)],
        "volumes": [*emptied, credentials.store_volume(job, settings)],
        **(_spread(job) if len(names.members(job)) > 1 else {}),
    }


def _spread(job: api.ElasticJob) -> Manifest:
    """Keep members apart where that is possible.

    Not by topologySpreadConstraints: as soon as one of their keys is on no node, as zones are not
    on many clusters, the scheduler gives no node a score for any of them.
    """
    others = {"labelSelector": labels.these(job.metadata.name, labels.STORE)}
    terms = [
        {"weight": weight, "podAffinityTerm": {"topologyKey": key, **others}}
        for key, weight in SPREAD_OVER.items()
    ]
    return {
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}
    }


def _container(job: api.ElasticJob, settings: Settings, *, joining: bool) -> Manifest:
    several = len(names.members(job)) > 1
    return {
        "name": "etcd",
        "image": settings.etcd_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": [*_command(job), *(_cluster(job, joining=joining) if several else _alone(job))],
        "env": [_field("POD_UID", "metadata.uid"), _field("POD_NAME", "metadata.name")],
        "ports": [
            {"name": "etcd", "containerPort": CLIENT_PORT},
            *([{"name": "peer", "containerPort": PEER_PORT}] if several else ()),
            {"name": "health", "containerPort": HEALTH_PORT},
        ],
        # Ready is who has a leader; alive is also who waits for one.
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "health"},
            "periodSeconds": 1,
            "timeoutSeconds": 3,  # a node that is busy is slow to answer
            "failureThreshold": 3,
        },
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": "health"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        # Its last words tell whether the others still know it.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": "1Gi"},
        },
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"name": VOLUME, "mountPath": DATA},
            credentials.mount(credentials.STORE_FOLDER),
        ],
    }


def _command(job: api.ElasticJob) -> list[str]:
    on_disk = job.spec.rendezvous.etcd.storage is not None
    return [
        BINARY,
        "--name=$(POD_NAME)",
        # A folder within: the root of a volume may have a lost+found.
        f"--data-dir={DATA}/member" if on_disk else f"--data-dir={DATA}",
        f"--listen-client-urls=https://0.0.0.0:{CLIENT_PORT}",
        *credentials.client_flags(),
        # Probes have no certificate.
        f"--listen-metrics-urls=http://0.0.0.0:{HEALTH_PORT}",
        "--auto-compaction-mode=revision",
        "--auto-compaction-retention=10000",
        # Nothing is lost with the disk that the workers do not bring back.
        *(() if on_disk else ("--unsafe-no-fsync",)),
    ]


def _alone(job: api.ElasticJob) -> list[str]:
    return [
        f"--advertise-client-urls={addresses.store_urls(job)[0]}",
        # An etcd that lost its data is another cluster, by whose id the watches know it.
        "--initial-cluster-token=$(POD_UID)",
    ]


def _cluster(job: api.ElasticJob, *, joining: bool) -> list[str]:
    """Return what makes three a cluster.

    A member that lost its disk must not come back as if nothing had happened: it would deny what it
    has promised. As long as the state is ``new``, such a one is told so by the others, and ends;
    the operator then makes room for another member in its place, and for that long the state is
    ``existing``.
    """
    host = addresses.member_host(job, "$(POD_NAME)")
    peers = (f"{member}={addresses.peer_url(job, member)}" for member in names.members(job))
    return [
        f"--advertise-client-urls=https://{host}:{CLIENT_PORT}",
        f"--listen-peer-urls=https://0.0.0.0:{PEER_PORT}",
        *credentials.peer_flags(),
        f"--initial-advertise-peer-urls=https://{host}:{PEER_PORT}",
        f"--initial-cluster={','.join(peers)}",
        f"--initial-cluster-state={'existing' if joining else 'new'}",
        f"--initial-cluster-token={job.metadata.uid}",
    ]


def _field(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
