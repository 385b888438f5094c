"""Who is who in a cluster: names, addresses and folders, all derived from a few facts. Pure."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from localcluster.controlplane import ControlPlane
from localcluster.errors import LocalClusterError

MAX_NODES = 9
# The host's interface is called `ej-<name>`, and Linux allows 15 characters.
_NAME = re.compile(r"[a-z][a-z0-9]{0,9}")


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        name: as Kubernetes knows it, and its hostname.
        address: on the cluster's network.
        pods: the network of its pods.
        cgroup: the control group of its containers.
        folder: everything that it writes.
    """

    name: str
    address: str
    pods: str
    cgroup: str
    folder: Path


@dataclass(frozen=True)
class Layout:
    """A cluster of a control plane and nodes on one network of their own.

    Attributes:
        name: at most ten lower-case letters and digits.
        node_count: from 1 to `MAX_NODES`.
        block: a /16 network, such as "10.201.0.0/16", of which every address is taken.
        folder: everything that the cluster writes.
    """

    name: str
    node_count: int
    block: str
    folder: Path

    def address(self, third: int, fourth: int) -> str:
        """Return the block's address that ends in these two numbers."""
        return str(ipaddress.ip_network(self.block)[third * 256 + fourth])

    @property
    def interface(self) -> str:
        """The one network interface on the host."""
        return f"ej-{self.name}"

    @property
    def cgroup(self) -> str:
        """The control group under which all containers are."""
        return f"ej-{self.name}"

    @property
    def host_address(self) -> str:
        """The host's address on the cluster's network."""
        return self.address(0, 1)

    @property
    def pods(self) -> str:
        """The addresses of all pods."""
        return f"{self.address(16, 0)}/20"

    @property
    def services(self) -> str:
        """The addresses of services."""
        return f"{self.address(240, 0)}/20"

    @property
    def dns_address(self) -> str:
        """The address of the service that answers the pods' DNS questions."""
        return self.address(240, 10)

    @property
    def control_plane(self) -> ControlPlane:
        """Where the control plane lives."""
        folder = self.folder / "control-plane"
        return ControlPlane(self.name, folder, self.address(0, 2), self.services)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes, in order."""
        return tuple(self._node(number) for number in range(1, self.node_count + 1))

    def _node(self, number: int) -> Node:
        name = f"{self.name}-{number}"
        pods = f"{self.address(16 + number, 0)}/24"
        return Node(
            name=name,
            address=self.address(0, 10 + number),
            pods=pods,
            cgroup=f"{self.cgroup}/{name}",
            folder=self.folder / name,
        )

    def node(self, name: str) -> Node:
        """Return the node with that name.

        Raises:
            LocalClusterError: there is none.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise LocalClusterError(f"the cluster {self.name} has no node {name!r}; it has {names}")


def check(name: str, node_count: int) -> None:
    """Check what a user asked for.

    Raises:
        LocalClusterError: naming what was given and what is allowed.
    """
    if not _NAME.fullmatch(name):
        raise LocalClusterError(
            f"the cluster's name {name!r} must be 1 to 10 lower-case letters and digits, "
            "beginning with a letter"
        )
    if not 1 <= node_count <= MAX_NODES:
        raise LocalClusterError(f"{node_count} nodes were asked for; it can be 1 to {MAX_NODES}")


def free_block(taken: list[str]) -> str:
    """Return a /16 that overlaps none of the networks in use.

    Raises:
        LocalClusterError: all candidates are taken.
    """
    used = [ipaddress.ip_network(network, strict=False) for network in taken]
    for number in range(201, 250):
        block = ipaddress.ip_network(f"10.{number}.0.0/16")
        if not any(block.overlaps(network) for network in used):
            return str(block)
    raise LocalClusterError("no free network is left between 10.201.0.0/16 and 10.249.0.0/16")
