"""What the cluster's programs are told."""

import re
from pathlib import Path
from typing import Any

import pytest
import tomllib

from localcluster import binaries, controlplane, dns, images, network, node
from localcluster.controlplane import LOOPBACK, ControlPlane
from localcluster.layout import Layout

PROGRAMS = {name: Path("bin", name) for name in binaries.PACKAGES}


@pytest.fixture
def cluster(tmp_path: Path) -> Layout:
    return Layout("demo", 2, "10.201.0.0/16", tmp_path / "demo")


@pytest.fixture
def prepared(cluster: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Return a cluster whose control plane and first node have their files."""
    monkeypatch.setattr(node.runtime_spec, "write", lambda path, _: path.write_text("{}"))
    controlplane.prepare(cluster.control_plane)
    dns.prepare(cluster)
    node.prepare(cluster, cluster.nodes[0], PROGRAMS["ctr"], Path("plugins"))
    return cluster


def files_named_by(*commands: tuple[str, ...], under: Path) -> set[Path]:
    words = " ".join(word for command in commands for word in command)
    return {Path(path) for path in re.findall(rf"{under}[^\s\"']*", words)}


def test_every_file_that_a_nodes_programs_are_pointed_at_is_there(prepared: Layout) -> None:
    one = prepared.nodes[0]
    machine = node.machine(prepared, one, PROGRAMS)
    named = files_named_by(*(each.command for each in machine.services), under=prepared.folder)
    for path in [*named, *one.folder.glob("*.*")]:
        if path.suffix in {".json", ".toml"}:
            named |= files_named_by((path.read_text(),), under=prepared.folder)
    assert {"containerd.toml", "kubelet.json", "kubelet.kubeconfig", "container.json"} <= {
        path.name for path in named
    }
    assert [path for path in sorted(named) if not path.exists()] == []


def test_every_file_that_the_control_plane_is_pointed_at_is_there(prepared: Layout) -> None:
    plane = prepared.control_plane
    services = [
        controlplane.apiserver(plane, PROGRAMS["kube-apiserver"]),
        controlplane.controller_manager(plane, PROGRAMS["kube-controller-manager"]),
        controlplane.scheduler(plane, PROGRAMS["kube-scheduler"]),
        dns.service(prepared, PROGRAMS["coredns"]),
    ]
    named = files_named_by(*(each.command for each in services), under=prepared.folder)
    assert len(named) > 10
    assert [path for path in sorted(named) if not path.exists()] == []


def test_containerd_is_told_of_the_pause_image_and_the_base_specification(
    prepared: Layout,
) -> None:
    folder = prepared.nodes[0].folder
    plugins = tomllib.loads((folder / "containerd.toml").read_text())["plugins"]
    assert plugins["io.containerd.cri.v1.images"]["pinned_images"] == {"sandbox": images.PAUSE}
    runc = plugins["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"]["runc"]
    assert runc["base_runtime_spec"] == str(folder / "container.json")


def test_the_containers_of_each_node_are_in_a_control_group_of_its_own(cluster: Layout) -> None:
    roots = [node._kubelet(cluster, each)["cgroupRoot"] for each in cluster.nodes]
    assert roots == ["/ej-demo/demo-1", "/ej-demo/demo-2"]


def test_pods_ask_the_dns_service_which_leads_to_the_control_plane(cluster: Layout) -> None:
    assert node._kubelet(cluster, cluster.nodes[0])["clusterDNS"] == [cluster.dns_address]
    objects: dict[str, Any] = {path.split("/")[-2]: each for path, each in objects_of(cluster)}
    assert objects["services"]["spec"]["clusterIP"] == cluster.dns_address
    (endpoint,) = objects["endpointslices"]["endpoints"]
    assert endpoint["addresses"] == [cluster.control_plane.address]


def objects_of(cluster: Layout) -> list[tuple[str, Any]]:
    return list(dns.objects(cluster).items())


def test_each_dns_object_is_applied_at_the_path_that_bears_its_name(cluster: Layout) -> None:
    for path, content in objects_of(cluster):
        assert path.endswith(f"/{content['metadata']['name']}")


def test_only_a_cluster_with_controllers_asks_for_service_accounts(tmp_path: Path) -> None:
    plane = ControlPlane("test", tmp_path, LOOPBACK, "10.0.0.0/24")
    alone = controlplane.apiserver(plane, Path("kube-apiserver"), controllers=False).command
    whole = controlplane.apiserver(plane, Path("kube-apiserver")).command
    assert "--disable-admission-plugins=ServiceAccount" in alone
    assert "--disable-admission-plugins=" in whole


def test_a_loopback_api_server_does_not_announce_itself_to_pods(cluster: Layout) -> None:
    test = ControlPlane("test", cluster.folder, LOOPBACK, "10.0.0.0/24")
    server = Path("kube-apiserver")
    reconcilers = [
        next(word for word in controlplane.apiserver(plane, server).command if "reconciler" in word)
        for plane in (test, cluster.control_plane)
    ]
    assert reconcilers == ["--endpoint-reconciler-type=none", "--endpoint-reconciler-type=lease"]


def test_free_ports_are_all_different() -> None:
    ports = controlplane.free_ports()
    assert len({ports.api, ports.etcd, ports.etcd_peer, ports.controllers, ports.scheduler}) == 5


def test_a_node_has_a_route_to_the_pods_of_every_other_node_and_none_beyond(
    cluster: Layout,
) -> None:
    commands = [" ".join(command) for command in network.inside_node(cluster, cluster.nodes[0])]
    routes = [command for command in commands if "route" in command]
    assert routes == [
        "ip route add 10.201.18.0/24 via 10.201.0.12 dev eth0",
        "ip route add 10.201.240.0/20 dev eth0",
    ]


def test_the_host_gets_one_interface_and_routes_over_it(cluster: Layout) -> None:
    commands = [" ".join(command) for command in network.cable_to_host(cluster, 4711)]
    assert commands[0] == "ip link add ej-demo type veth peer name host netns 4711"
    assert all("ej-demo" in command for command in commands)
