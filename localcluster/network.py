"""The cluster's network: one switch, in the control plane's machine, and a cable to each other.

The host has one interface on it, so that it reaches the API server and the pods. Nothing is routed
between the cluster and any other network. These are the `ip` commands; the first two functions give
those that a machine runs for itself, the others those that the host runs.
"""

import json
import subprocess

from localcluster.errors import LocalClusterError
from localcluster.layout import Layout, Node
from localcluster.machine import enter

Command = tuple[str, ...]
SWITCH = "switch"
_UPLINK = "host"
_CABLE = "eth0"


def inside_control_plane(layout: Layout) -> list[Command]:
    """Return the commands that bring up the switch, its address and the routes to the pods."""
    return [
        _ip("link set lo up"),
        _ip(f"link add {SWITCH} type bridge"),
        _ip(f"address add {layout.control_plane.address}/24 dev {SWITCH}"),
        _ip(f"link set {SWITCH} up"),
        _ip(f"link set {_UPLINK} master {SWITCH} up"),
        *_routes(SWITCH, layout.nodes),
    ]


def inside_node(layout: Layout, node: Node) -> list[Command]:
    """Return the commands that bring up a node's address and its routes to the others' pods.

    Service addresses have a route only so that kube-proxy gets to see what the node itself sends.
    """
    others = tuple(other for other in layout.nodes if other != node)
    return [
        _ip("link set lo up"),
        _ip(f"address add {node.address}/24 dev {_CABLE}"),
        _ip(f"link set {_CABLE} up"),
        *_routes(_CABLE, others),
        _ip(f"route add {layout.services} dev {_CABLE}"),
    ]


def cable_to_host(layout: Layout, control_plane_pid: int) -> list[Command]:
    """Return the commands that connect the host to the switch."""
    name = layout.interface
    return [
        _ip(f"link add {name} type veth peer name {_UPLINK} netns {control_plane_pid}"),
        _ip(f"address add {layout.host_address}/24 dev {name}"),
        _ip(f"link set {name} up"),
        *_routes(name, layout.nodes),
    ]


def cable_to_node(node: Node, control_plane_pid: int, node_pid: int) -> list[Command]:
    """Return the commands that connect a node to the switch."""
    return [
        _ip(
            f"link add {node.name} netns {control_plane_pid} type veth "
            f"peer name {_CABLE} netns {node_pid}"
        ),
        tuple(enter(control_plane_pid, *_ip(f"link set {node.name} master {SWITCH} up"))),
    ]


def unplug_node(node: Node, control_plane_pid: int) -> Command:
    """Return the command that removes a node's cable; it fails when there is none."""
    return tuple(enter(control_plane_pid, *_ip(f"link delete {node.name}")))


def unplug_host(layout: Layout) -> Command:
    """Return the command that removes the host's cable; it fails when there is none."""
    return _ip(f"link delete {layout.interface}")


def interfaces() -> list[str]:
    """Return the names of the host's network interfaces."""
    return [link["ifname"] for link in _ask("link")]


def networks_in_use() -> list[str]:
    """Return every network that the host has an address in or a route to."""
    return [route["dst"] for route in _ask("route") if route["dst"] != "default"]


def run(commands: list[Command]) -> None:
    """Run commands one after another.

    Raises:
        LocalClusterError: one failed; with what it said.
    """
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LocalClusterError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


def succeeds(command: Command) -> bool:
    """Run a command that may fail, and return whether it did not."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _ip(arguments: str) -> Command:
    return ("ip", *arguments.split())


def _routes(interface: str, nodes: tuple[Node, ...]) -> list[Command]:
    return [_ip(f"route add {node.pods} via {node.address} dev {interface}") for node in nodes]


def _ask(what: str) -> list[dict[str, str]]:
    output = subprocess.run(
        ["ip", "-json", "-4", what, "show"], capture_output=True, text=True, check=True
    )
    answer: list[dict[str, str]] = json.loads(output.stdout or "[]")
    return answer
