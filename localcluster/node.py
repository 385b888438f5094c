"""A node: containerd, kubelet and kube-proxy, in a machine of their own at their usual paths."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcluster import images, network, runtime_spec
from localcluster.layout import Layout, Node
from localcluster.machine import Machine
from localcluster.services import Service, flags

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"

# Where the kubelet insists on values of its own for the whole computer, it finds them there.
_KERNEL_SETTINGS_OF_KUBELET = {
    "/proc/sys/vm/overcommit_memory": "1",
    "/proc/sys/vm/panic_on_oom": "0",
    "/proc/sys/kernel/panic": "10",
    "/proc/sys/kernel/panic_on_oops": "1",
    "/proc/sys/kernel/keys/root_maxkeys": "1000000",
    "/proc/sys/kernel/keys/root_maxbytes": "25000000",
}


def machine(layout: Layout, node: Node, programs: Mapping[str, Path]) -> Machine:
    """Return the machine of a node; `prepare()` writes the files that its services read."""
    folder = node.folder
    # There containerd finds its shim, and all find runc, nft, mount and the like.
    path = {"PATH": f"{programs['containerd'].parent}:/usr/sbin:/usr/bin:/sbin:/bin"}
    containerd = Service(
        "containerd",
        (str(programs["containerd"]), *flags(config=folder / "containerd.toml", log_level="warn")),
        path,
    )
    kubelet = Service(
        "kubelet",
        (
            str(programs["kubelet"]),
            *flags(
                config=folder / "kubelet.json",
                kubeconfig=folder / "kubelet.kubeconfig",
                node_ip=node.address,
            ),
        ),
        path,
        after=CONTAINERD_SOCKET,
    )
    proxy = Service(
        "kube-proxy", (str(programs["kube-proxy"]), *flags(config=folder / "kube-proxy.json")), path
    )
    return Machine(
        name=node.name,
        folder=folder,
        services=(containerd, kubelet, proxy),
        network=network.inside_node(layout, node),
        sysctl={"net/ipv4/ip_forward": "1"},
        bind={
            "/var/lib/containerd": folder / "containerd",
            "/var/lib/kubelet": folder / "kubelet",
            "/var/log": folder / "var-log",
        },
        pretend=_KERNEL_SETTINGS_OF_KUBELET,
    )


def prepare(layout: Layout, node: Node, ctr: Path, network_plugins: Path) -> None:
    """Write certificates and configuration into the node's folder, replacing what was there."""
    plane, folder = layout.control_plane, node.folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    user = f"system:node:{node.name}"
    plane.kubeconfig_for(user, path=folder / "kubelet.kubeconfig", groups=["system:nodes"])
    plane.kubeconfig_for("system:kube-proxy", path=folder / "kube-proxy.kubeconfig")
    plane.authority.issue(f"kubelet-{node.name}", user, hosts=[node.address, node.name])
    runtime_spec.write(folder / "container.json", ctr)
    (folder / "containerd.toml").write_text(_containerd(folder, network_plugins))
    (folder / "resolv.conf").write_text(f"nameserver {layout.dns_address}\n")
    cni = folder / "cni"
    cni.mkdir(exist_ok=True)
    for path, content in (
        (folder / "kubelet.json", _kubelet(layout, node)),
        (folder / "kube-proxy.json", _kube_proxy(layout, folder)),
        (cni / "pods.conflist", _pod_network(node)),
    ):
        path.write_text(json.dumps(content, indent=2))


def _kubelet(layout: Layout, node: Node) -> dict[str, Any]:
    pki = layout.control_plane.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "authentication": {"x509": {"clientCAFile": str(pki / "ca.crt")}},
        "tlsCertFile": str(pki / f"kubelet-{node.name}.crt"),
        "tlsPrivateKeyFile": str(pki / f"kubelet-{node.name}.key"),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "clusterDomain": "cluster.local",
        "clusterDNS": [layout.dns_address],
        "resolvConf": str(node.folder / "resolv.conf"),
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        # The containers' control groups are the only thing of ours outside the machine.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        # A lost node is known after 20 s (see the controllers): tell often that this one is not.
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 16,
        # Nothing can be pulled again: keep images, and pods, until the disk is all but full.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "syncFrequency": "10s",
    }


def _kube_proxy(layout: Layout, folder: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(folder / "kube-proxy.kubeconfig")},
        "mode": "nftables",
        "clusterCIDR": layout.pods,
        # These are settings of the whole computer.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "oomScoreAdj": 0,
    }


def _pod_network(node: Node) -> dict[str, Any]:
    """Return the pods' network: a cable from each pod to its node, which routes everything.

    On a bridge, a pod's answer to a neighbour on the same node would bypass kube-proxy.
    """
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": node.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/cni",
    }
    plugin = {"type": "ptp", "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [plugin]}


def _containerd(folder: Path, network_plugins: Path) -> str:
    return f"""\
version = 3

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '{images.PAUSE}'

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true  # without CAP_SYS_RESOURCE no pod could start

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
  base_runtime_spec = '{folder}/container.json'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    SystemdCgroup = false

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['{network_plugins}']
  conf_dir = '{folder}/cni'

[plugins.'io.containerd.internal.v1.opt']
  path = '/run/containerd/opt'

[plugins.'io.containerd.nri.v1.nri']
  disable = true
"""
