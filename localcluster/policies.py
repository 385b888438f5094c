"""Network policies, enforced by an agent on each node for as long as a caller wants.

The cluster's own network routes everything to everyone. The agent is the firewall of kube-router,
built only for who asks. It lives in its node: it ends with it, as its rules do.
"""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from localcluster import binaries, host, machine
from localcluster.errors import LocalClusterError
from localcluster.layout import Layout, Node
from localcluster.progress import step, wait_until
from localcluster.services import flags

_AGENT = "kube-router"
_USER = f"system:{_AGENT}"
_PACKAGES = {"iptables": "iptables", "ipset": "ipset"}  # with them the agent writes its rules
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_READY_TIMEOUT_S = 60.0
_ENTRY = "KUBE-ROUTER-FORWARD"  # through this chain of rules goes what is for a pod

# The agent runs until the caller closes standard input, or is gone; then nothing is held back.
_RUN = f"""\
"$@" & agent=$!
read -r _
kill $agent
wait $agent
for chain in {_ENTRY} KUBE-ROUTER-INPUT KUBE-ROUTER-OUTPUT; do iptables --flush $chain; done
"""


@contextmanager
def enforced(cluster: Layout) -> Iterator[None]:
    """Enforce the cluster's network policies on every node until the block ends.

    What is not allowed is answered with a rejection. A change of policies or pods is followed
    within a second or two; a pod that has just started is open until then.

    Raises:
        LocalClusterError: the agent cannot be built or does not start, or a node is off.
    """
    host.check()
    host.provide_programs(_PACKAGES)
    program = binaries.ensure([_AGENT])[_AGENT]
    plane = cluster.control_plane
    for path, content in objects().items():
        plane.api.apply(path, content)
    plane.kubeconfig_for(_USER, path=_kubeconfig(cluster))
    with ExitStack() as agents:
        with step(f"enforcing the network policies of {cluster.name}"):
            for node in cluster.nodes:
                agents.enter_context(_agent(cluster, node, program))
        yield


def command(cluster: Layout, node: Node, program: Path) -> tuple[str, ...]:
    """Return the agent's command line: of all that it can do, its firewall."""
    return (
        str(program),
        *flags(
            run_firewall=True,
            run_router=False,
            run_service_proxy=False,
            kubeconfig=_kubeconfig(cluster),
            hostname_override=node.name,
            service_cluster_ip_range=cluster.services,
            health_port=0,
        ),
    )


def objects() -> dict[str, dict[str, Any]]:
    """Return the API objects that let the agents read what they need, by their path. Pure."""
    group = "rbac.authorization.k8s.io"
    metadata = {"name": _USER, "labels": {"app.kubernetes.io/managed-by": "localcluster"}}
    read = {
        "": ["namespaces", "nodes", "pods", "services", "endpoints"],
        "discovery.k8s.io": ["endpointslices"],
        "networking.k8s.io": ["networkpolicies"],
    }
    verbs = ["get", "list", "watch"]
    rules = [{"apiGroups": [one], "resources": read[one], "verbs": verbs} for one in read]
    role = {"kind": "ClusterRole", "rules": rules}
    binding = {
        "kind": "ClusterRoleBinding",
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": _USER},
        "subjects": [{"apiGroup": group, "kind": "User", "name": _USER}],
    }
    return {
        f"/apis/{group}/v1/{kind}/{_USER}": {
            "apiVersion": f"{group}/v1",
            "metadata": metadata,
            **content,
        }
        for kind, content in (("clusterroles", role), ("clusterrolebindings", binding))
    }


def _kubeconfig(cluster: Layout) -> Path:
    return cluster.control_plane.folder / f"{_AGENT}.kubeconfig"


@contextmanager
def _agent(cluster: Layout, node: Node, program: Path) -> Iterator[None]:
    pid = machine.find(node.folder)
    if pid is None:
        raise LocalClusterError(f"{node.name} is off: network policies cannot be enforced there")
    log = node.folder / "log" / f"{_AGENT}.log"
    run = machine.enter(pid, "sh", "-c", _RUN, _AGENT, *command(cluster, node, program))
    with log.open("ab") as output:
        agent = subprocess.Popen(
            run,
            env=_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # an interrupt is for the caller, who then ends the block
        )
    with agent:  # at its end: standard input is closed, and the agent's end awaited
        wait_until(
            partial(_rules_are_written, pid),
            f"{_AGENT} of {node.name}",
            timeout_s=_READY_TIMEOUT_S,
            log=log,
            alive=lambda: agent.poll() is None,
        )
        yield


def _rules_are_written(pid: int) -> bool:
    """Return whether the agent has been through all pods: its last rule accepts what is allowed."""
    listed = subprocess.run(
        machine.enter(pid, "iptables", "--list-rules", _ENTRY),
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    return "-j ACCEPT" in listed.stdout
