"""The cluster's DNS: CoreDNS beside the API server, behind the service address that pods ask.

It does not run on a node, so that the loss of a node is the loss of that node and nothing else.
"""

from pathlib import Path
from typing import Any

from localcluster.layout import Layout
from localcluster.services import Service, flags

READY_PORT = 8181
_USER = "system:coredns"
_LABELS = {"app.kubernetes.io/managed-by": "localcluster"}


def service(layout: Layout, program: Path) -> Service:
    """Return CoreDNS; `prepare()` writes the files that it reads."""
    plane = layout.control_plane
    command = (str(program), *flags(conf=plane.folder / "Corefile"))
    return Service("coredns", command, after=str(plane.open_for_clients))


def prepare(layout: Layout) -> None:
    """Write CoreDNS's configuration and credentials."""
    plane = layout.control_plane
    config = plane.kubeconfig_for(_USER, path=plane.folder / "coredns.kubeconfig")
    (plane.folder / "Corefile").write_text(_corefile(config))


def _corefile(kubeconfig: Path) -> str:
    return f"""\
.:53 {{
    errors
    ready :{READY_PORT}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}
    cache 5
}}
"""


def objects(layout: Layout) -> dict[str, dict[str, Any]]:
    """Return the API objects behind the DNS service, by their path in the API. Pure."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    return {
        f"{rbac}/clusterroles/{_USER}": _role(),
        f"{rbac}/clusterrolebindings/{_USER}": _binding(),
        "/api/v1/namespaces/kube-system/services/kube-dns": _service(layout.dns_address),
        "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns": _endpoints(
            layout.control_plane.address
        ),
    }


def _role() -> dict[str, Any]:
    def read(group: str, *resources: str) -> dict[str, Any]:
        return {"apiGroups": [group], "resources": list(resources), "verbs": ["list", "watch"]}

    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _USER, "labels": _LABELS},
        "rules": [
            read("", "services", "pods", "namespaces"),
            read("discovery.k8s.io", "endpointslices"),
        ],
    }


def _binding() -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _USER, "labels": _LABELS},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": _USER},
        "subjects": [{"apiGroup": group, "kind": "User", "name": _USER}],
    }


def _service(address: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": _LABELS},
        "spec": {
            "clusterIP": address,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
            ],
        },
    }


def _endpoints(address: str) -> dict[str, Any]:
    labels = {**_LABELS, "kubernetes.io/service-name": "kube-dns"}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ],
    }
