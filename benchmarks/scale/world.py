"""A real API server and scheduler, fake nodes whose pods kwok plays, and an etcd for the rounds.

There are no controllers, so nothing else speaks of the jobs and pods than who is measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks import servers
from benchmarks.comparison import NotMeasured
from benchmarks.progress import until
from benchmarks.scale import audit
from benchmarks.scale.apiserver import ApiServer
from localcluster import binaries, controlplane, paths, services
from localcluster.errors import LocalClusterError
from localcluster.services import Service

PODS_PER_NODE: Final = 110
JOBS: Final = "/apis/rdzv.dev/v1alpha1/namespaces/default/elasticjobs"
PODS: Final = "/api/v1/namespaces/default/pods"

_STAGES: Final = Path(__file__).with_name("stages.yaml")
_START_LIMIT_S: Final = 60.0


@dataclass(frozen=True)
class World:
    """What the operator is put into.

    Attributes:
        server: The API server.
        kubeconfig: The operator's own.
        calls_log: Of the operator's calls, see :mod:`benchmarks.scale.audit`.
        store_url: The etcd in which all jobs' workers would meet.
    """

    server: ApiServer
    kubeconfig: Path
    calls_log: Path
    store_url: str


@contextmanager
def running(folder: Path, pods: int) -> Iterator[World]:
    """Run all of it, with nodes for so many pods, until the block ends.

    Raises:
        NotMeasured: it cannot be built or started here.
    """
    with ExitStack() as stack:
        try:
            programs = binaries.ensure(["kube-scheduler", "kwok"])
            flags = audit.flags(folder)
            plane = stack.enter_context(controlplane.running(folder / "plane", server_flags=flags))
        except LocalClusterError as error:
            raise NotMeasured(str(error)) from None
        server = ApiServer(plane)
        store = stack.enter_context(servers.etcd())
        _admit(server)
        for service in (_scheduler(plane, programs), _kwok(plane, programs)):
            stack.enter_context(services.running(service, plane.logs))
        _add_nodes(server, -(-pods // PODS_PER_NODE))
        kubeconfig = plane.kubeconfig_for(audit.USER, path=folder / "operator.kubeconfig")
        yield World(server, kubeconfig, audit.log(folder), f"http://{servers.HOST}:{store.port}")


def _admit(server: ApiServer) -> None:
    """Install the CRD, and let the operator do anything but jump the queue."""
    crd = yaml.safe_load((paths.REPOSITORY / "crds" / "elasticjobs.yaml").read_text())
    server.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    rbac = "rbac.authorization.k8s.io"
    binding: dict[str, Any] = {
        "metadata": {"name": audit.USER},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": audit.USER}],
    }
    server.create(f"/apis/{rbac}/v1/clusterrolebindings", binding)
    until(lambda: _is_served(server), "the API server knows ElasticJobs", _START_LIMIT_S)


def _is_served(server: ApiServer) -> bool:
    try:
        return bool(server.get(JOBS))
    except OSError:
        return False


def _scheduler(plane: controlplane.ControlPlane, programs: dict[str, Path]) -> Service:
    """Return the scheduler, not held to its usual 50 pods a second."""
    path = plane.folder / "scheduler-configuration.json"
    kubeconfig = plane.folder / "kube-scheduler.kubeconfig"
    configuration = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 5000, "burst": 5000},
    }
    path.write_text(json.dumps(configuration), encoding="utf-8")
    usual = controlplane.scheduler(plane, programs["kube-scheduler"])
    return Service(usual.name, (*usual.command, f"--config={path}"))


def _kwok(plane: controlplane.ControlPlane, programs: dict[str, Path]) -> Service:
    command = (
        str(programs["kwok"]),
        f"--kubeconfig={plane.kubeconfig}",
        "--manage-all-nodes",
        "--v=WARN",
        f"--config={_STAGES}",
    )
    return Service("kwok", command)


def _add_nodes(server: ApiServer, count: int) -> None:
    room = {"cpu": "1000", "memory": "4Ti", "pods": str(PODS_PER_NODE)}
    for i in range(count):
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": f"fake-{i}", "annotations": {"kwok.x-k8s.io/node": "fake"}},
            "status": {"allocatable": room, "capacity": room},
        }
        server.create("/api/v1/nodes", node)
    until(lambda: _ready_nodes(server) == count, f"{count} fake nodes are ready", _START_LIMIT_S)


def _ready_nodes(server: ApiServer) -> int:
    nodes = server.get("/api/v1/nodes")["items"]
    conditions = [c for node in nodes for c in node["status"].get("conditions", [])]
    return sum(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
