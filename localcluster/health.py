"""What must answer before a cluster counts as ready, and what answers now."""

import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from localcluster import controlplane, dns, machine
from localcluster.api import Api
from localcluster.errors import LocalClusterError
from localcluster.layout import Layout, Node
from localcluster.node import CONTAINERD_SOCKET
from localcluster.progress import step, wait_until

_CONTAINERD_TIMEOUT_S = 30.0
_NODE_TIMEOUT_S = 120.0
_RECOVERY_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 5.0
_MAX_RESTARTS = 4  # a service that ends again and again will not become ready
_KUBELET_PORT = 10250
_KUBE_PROXY_PORT = 10256

Checks = dict[str, Callable[[], bool]]


def wait_for_api(cluster: Layout) -> None:
    """Return once the API server answers.

    Raises:
        LocalClusterError: it does not; with the end of its log.
    """
    plane = cluster.control_plane
    check = {"kube-apiserver": lambda: controlplane.answers(plane)}
    _wait(check, plane.folder, plane.folder.name, controlplane.READY_TIMEOUT_S)


def wait_for_control_plane(
    cluster: Layout, timeout_s: float = controlplane.READY_TIMEOUT_S
) -> None:
    """Return once the API server, the controllers, the scheduler and DNS answer.

    Raises:
        LocalClusterError: one of them does not; with the end of its log.
    """
    plane = cluster.control_plane
    _wait(control_plane_checks(cluster), plane.folder, plane.folder.name, timeout_s)


def control_plane_recovers(cluster: Layout) -> bool:
    """Return whether the control plane is well, or is so within a few seconds."""
    try:
        wait_for_control_plane(cluster, _RECOVERY_TIMEOUT_S)
    except LocalClusterError:
        return False
    return True


def wait_for_containerd(node: Node, pid: int) -> None:
    """Return once a node's containerd takes calls.

    Raises:
        LocalClusterError: it does not; with the end of its log.
    """
    socket = Path(f"/proc/{pid}/root{CONTAINERD_SOCKET}")
    _wait({"containerd": socket.exists}, node.folder, node.name, _CONTAINERD_TIMEOUT_S)


def wait_for_all(cluster: Layout) -> None:
    """Return once the control plane is well and every node takes pods, and they reach services.

    Raises:
        LocalClusterError: something does not come; with the end of a log that tells why.
    """
    names = ", ".join(node.name for node in cluster.nodes)
    with step(f"waiting for the control plane and {names} to be ready"):
        wait_for_control_plane(cluster)
        for node in cluster.nodes:
            wait_for_node(cluster, node)


def wait_for_node(cluster: Layout, node: Node) -> None:
    """Return once a node takes pods, and they reach services; raises as `wait_for_all`."""
    _wait(node_checks(cluster, node), node.folder, node.name, _NODE_TIMEOUT_S)


def control_plane_checks(cluster: Layout) -> Checks:
    """Return what must be true of each of the control plane's services, by its name."""
    plane = cluster.control_plane
    controllers = _at(cluster, plane.address, plane.ports.controllers)
    scheduler = _at(cluster, plane.address, plane.ports.scheduler)
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    return {
        "kube-apiserver": lambda: controlplane.answers(plane),
        "kube-controller-manager": lambda: (
            controllers.responds("/healthz") and plane.api.responds(account)
        ),
        "kube-scheduler": lambda: scheduler.responds("/healthz"),
        "coredns": lambda: _succeeds(f"http://{plane.address}:{dns.READY_PORT}/ready"),
    }


def node_checks(cluster: Layout, node: Node) -> Checks:
    """Return what must be true of each of a node's services, by its name."""
    kubelet = _at(cluster, node.address, _KUBELET_PORT)
    return {
        "kubelet": lambda: kubelet.responds("/healthz") and _is_ready(cluster, node),
        "kube-proxy": lambda: _succeeds(f"http://{node.address}:{_KUBE_PROXY_PORT}/healthz"),
    }


def _is_ready(cluster: Layout, node: Node) -> bool:
    found = cluster.control_plane.api.get(f"/api/v1/nodes/{node.name}") or {}
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _wait(checks: Checks, folder: Path, owner: str, timeout_s: float) -> None:
    for name, check in checks.items():
        wait_until(
            check,
            f"{name} of {owner}",
            timeout_s=timeout_s,
            log=folder / "log" / f"{name}.log",
            alive=partial(_has_hope, folder, name),
        )


def _has_hope(folder: Path, service: str) -> bool:
    return machine.find(folder) is not None and machine.restarts(folder, service) < _MAX_RESTARTS


def _at(cluster: Layout, address: str, port: int) -> Api:
    """Return another server of the cluster; it knows the administrator as the API server does."""
    plane = cluster.control_plane
    return Api(f"https://{address}:{port}", plane.api.authority, plane.api.identity)


def _succeeds(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ANSWER_TIMEOUT_S):
            return True
    except OSError:
        return False


@dataclass(frozen=True)
class Line:
    """How one service is."""

    machine: str
    service: str
    well: bool

    def __str__(self) -> str:
        """Return it as a line of a table."""
        return f"{self.machine:<14} {self.service:<24} {'well' if self.well else 'NOT WELL'}"


def report(cluster: Layout) -> list[Line]:
    """Return how every service of the cluster is, now."""
    plane = cluster.control_plane
    owners = [(plane.folder.name, control_plane_checks(cluster))]
    owners += [(node.name, node_checks(cluster, node)) for node in cluster.nodes]
    return [
        Line(owner, name, well=machine.find(cluster.folder / owner) is not None and check())
        for owner, checks in owners
        for name, check in checks.items()
    ]
