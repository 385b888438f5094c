"""Names and addresses of a cluster follow from its name, its size and one block of addresses."""

import ipaddress
from itertools import combinations
from pathlib import Path

import pytest

from localcluster import layout
from localcluster.errors import LocalClusterError
from localcluster.layout import Layout


def a_layout(*, nodes: int = 2) -> Layout:
    return Layout("demo", nodes, "10.201.0.0/16", Path("state/demo"))


def test_the_networks_of_nodes_pods_and_services_lie_in_the_block_and_apart() -> None:
    cluster = a_layout(nodes=layout.MAX_NODES)
    machines = f"{cluster.host_address}/24"
    names = [machines, cluster.services, *(node.pods for node in cluster.nodes)]
    networks = [ipaddress.ip_network(name, strict=False) for name in names]
    block = ipaddress.ip_network(cluster.block)
    assert all(network.subnet_of(block) for network in networks)
    assert not any(one.overlaps(other) for one, other in combinations(networks, 2))


def test_every_machine_has_an_address_of_its_own_beside_the_host() -> None:
    cluster = a_layout(nodes=layout.MAX_NODES)
    nodes = [node.address for node in cluster.nodes]
    addresses = [cluster.host_address, cluster.control_plane.address, *nodes]
    assert len(set(addresses)) == len(addresses)
    assert {address.rsplit(".", 1)[0] for address in addresses} == {"10.201.0"}


def test_the_pods_network_covers_every_nodes_pods_and_the_dns_address_is_a_service() -> None:
    cluster = a_layout(nodes=layout.MAX_NODES)
    pods = ipaddress.ip_network(cluster.pods)
    assert all(ipaddress.ip_network(node.pods).subnet_of(pods) for node in cluster.nodes)
    assert ipaddress.ip_address(cluster.dns_address) in ipaddress.ip_network(cluster.services)


def test_everything_on_the_host_carries_the_clusters_name() -> None:
    cluster = a_layout()
    assert cluster.interface == "ej-demo"
    assert [node.name for node in cluster.nodes] == ["demo-1", "demo-2"]
    assert [node.cgroup for node in cluster.nodes] == ["ej-demo/demo-1", "ej-demo/demo-2"]
    assert all(node.folder.parent == cluster.folder for node in cluster.nodes)


@pytest.mark.parametrize("name", ["a", "demo", "e2e", "abcdefghij"])
def test_a_name_that_fits_an_interface_is_taken(name: str) -> None:
    layout.check(name, 1)


@pytest.mark.parametrize("name", ["", "Demo", "1st", "a-b", "abcdefghijk", "../etc", "demo\n"])
def test_any_other_name_is_refused_and_the_error_says_what_is_allowed(name: str) -> None:
    with pytest.raises(LocalClusterError, match="1 to 10 lower-case letters and digits") as refused:
        layout.check(name, 1)
    assert repr(name) in str(refused.value)


@pytest.mark.parametrize("count", [-1, 0, 10])
def test_a_number_of_nodes_outside_the_limits_is_refused(count: int) -> None:
    with pytest.raises(LocalClusterError, match=f"{count} nodes were asked for; it can be 1 to 9"):
        layout.check("demo", count)


def test_a_node_is_found_by_name_and_an_unknown_one_is_answered_with_the_known() -> None:
    assert a_layout().node("demo-2").address == "10.201.0.12"
    with pytest.raises(LocalClusterError, match="no node 'demo-3'; it has demo-1, demo-2"):
        a_layout().node("demo-3")


def test_a_free_block_avoids_every_network_in_use_larger_and_smaller() -> None:
    assert layout.free_block([]) == "10.201.0.0/16"
    taken = ["10.201.3.0/24", "10.202.0.9", "10.204.0.0/14", "192.168.0.0/16"]
    assert layout.free_block(taken) == "10.203.0.0/16"


def test_when_no_block_is_free_it_says_where_it_looked() -> None:
    with pytest.raises(LocalClusterError, match=r"between 10\.201\.0\.0/16 and 10\.249\.0\.0/16"):
        layout.free_block(["10.0.0.0/8"])
