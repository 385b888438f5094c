"""A whole cluster: up, down, and what becomes of its nodes in between."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from localcluster import (
    binaries,
    cgroups,
    controlplane,
    dns,
    health,
    host,
    images,
    layout,
    leftovers,
    machine,
    network,
    node,
    paths,
)
from localcluster.errors import LocalClusterError
from localcluster.layout import Layout, Node
from localcluster.machine import Machine, Starting
from localcluster.progress import say, step

_RECORD = "cluster.json"


def up(name: str, node_count: int, *, new: bool = False) -> Layout:
    """Make sure that a cluster runs, whole and ready, with the project's images on every node.

    A running one is reused, its lost nodes are started again; a broken one is replaced; with `new`
    there must be none.

    Raises:
        LocalClusterError: it cannot run here, or something did not become ready; says what.
    """
    host.check()
    layout.check(name, node_count)
    _check_it_is_not_elsewhere(name)
    with _lock():
        if new:
            _check_there_is_none(name)
        host.provide()
        programs = binaries.ensure()
        archives = images.build()
        cluster = _usable(name, node_count)
        if cluster is None:
            cluster = _create(name, node_count, programs)
        else:
            say(f"the cluster {name} runs already")
        _start_nodes(cluster, programs)
        _bring(cluster, archives, programs["ctr"])
        health.wait_for_all(cluster)
        _record(cluster)
    return cluster


def down(name: str) -> None:
    """End a cluster and remove everything of it, however much of it there still is.

    Raises:
        LocalClusterError: something of it cannot be removed, or its state is elsewhere; says what.
    """
    host.check()
    cluster = _any(name)
    _check_it_is_not_elsewhere(name)
    with _lock():
        if not leftovers.found(cluster):
            say(f"there is no cluster {name}")
            return
        _remove(cluster)


def load(name: str) -> Layout:
    """Return the cluster of that name that `up` finished.

    Raises:
        LocalClusterError: there is none.
    """
    cluster = _recorded(name)
    if cluster is None:
        raise LocalClusterError(
            f"there is no cluster {name}; start it with `python -m localcluster up --name {name}`"
        )
    return cluster


def stop_node(cluster: Layout, node_name: str) -> None:
    """End a node at once, with all that runs on it, as pulling its plug would."""
    host.check()
    with _lock():
        ran = machine.end(cluster.node(node_name).folder)
    say(f"{node_name} is off" if ran else f"{node_name} was off already")


def start_node(cluster: Layout, node_name: str) -> None:
    """Start a node that was stopped, as switching it on again would, and wait until it is ready."""
    host.check()
    one = cluster.node(node_name)
    with _lock():
        if machine.find(one.folder) is not None:
            say(f"{node_name} is on already")
        else:
            _start_node(cluster, one, binaries.ensure())
        health.wait_for_node(cluster, one)


def bring_images(cluster: Layout) -> None:
    """Build the project's images anew where their content changed, and import them."""
    host.check()
    with _lock():
        _bring(cluster, images.build(), binaries.ensure(["ctr"])["ctr"])


@contextmanager
def _lock() -> Iterator[None]:
    """Let one command at a time work on this machine's clusters; a folder left empty goes."""
    folder = paths.state()
    descriptor = _locked(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # there are clusters in it
            folder.rmdir()
        os.close(descriptor)


def _locked(folder: Path) -> int:
    """Return an open descriptor of the folder, locked while the folder was there."""
    while True:
        descriptor = os.open(paths.private_folder(folder), os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another command of localcluster to finish")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # the other command has removed it: nobody else would wait for this


def _check_it_is_not_elsewhere(name: str) -> None:
    if other := machine.elsewhere(name, paths.state() / name):
        raise LocalClusterError(
            f"a cluster {name} runs already, and its state is in {other}: choose another name, or "
            f"end it with ELASTICJOB_STATE={other.parent.parent}"
        )


def _check_there_is_none(name: str) -> None:
    if leftovers.found(_any(name)):
        raise LocalClusterError(
            f"there is a cluster {name} already: another command uses it, or was killed and left "
            f"it behind; `python -m localcluster down --name {name}` removes it"
        )


def _any(name: str) -> Layout:
    """Return the cluster of that name, finished or not; only its names and folder count."""
    layout.check(name, 1)
    return _recorded(name) or Layout(name, 1, "10.0.0.0/16", paths.state() / name)


def _recorded(name: str) -> Layout | None:
    folder = paths.state() / name
    try:
        record = json.loads((folder / _RECORD).read_text())
    except FileNotFoundError:
        return None
    return Layout(name, record["nodes"], record["block"], folder)


def _record(cluster: Layout) -> None:
    record = {"nodes": cluster.node_count, "block": cluster.block}
    (cluster.folder / _RECORD).write_text(json.dumps(record))


def _usable(name: str, node_count: int) -> Layout | None:
    """Return the running cluster of that name; remove one that is broken or was never finished."""
    cluster = _recorded(name)
    if cluster is not None and health.control_plane_recovers(cluster):
        if cluster.node_count != node_count:
            raise LocalClusterError(
                f"the cluster {name} runs with {cluster.node_count} nodes, and {node_count} were "
                f"asked for: run `python -m localcluster down --name {name}` first"
            )
        return cluster
    remains = _any(name)
    if leftovers.found(remains):
        say(f"an earlier cluster {name} is broken; replacing it")
        _remove(remains)
    return None


def _remove(cluster: Layout) -> None:
    for folder in machine.running(cluster.folder):
        machine.end(folder)
        say(f"ended {folder.name}")
    leftovers.remove(cluster)
    shutil.rmtree(cluster.folder, ignore_errors=True)
    if remaining := leftovers.found(cluster):
        raise LocalClusterError(f"of {cluster.name} there remain: {', '.join(remaining)}")
    say(f"nothing is left of {cluster.name}: no process, interface, mount, control group or file")


def _create(name: str, node_count: int, programs: Mapping[str, Path]) -> Layout:
    block = layout.free_block(network.networks_in_use())
    cluster = Layout(name, node_count, block, paths.private_folder(paths.state() / name))
    with step(f"starting the control plane of {name}"):
        controlplane.prepare(cluster.control_plane)
        dns.prepare(cluster)
        _start_control_plane(cluster, programs)
        health.wait_for_api(cluster)
        for path, content in dns.objects(cluster).items():
            cluster.control_plane.api.apply(path, content)
        cluster.control_plane.open_for_clients.touch()
    plugins = host.network_plugins()
    assert plugins is not None, "host.provide() has installed them"
    for each in cluster.nodes:
        node.prepare(cluster, each, programs["ctr"], plugins)
    return cluster


def _start_control_plane(cluster: Layout, programs: Mapping[str, Path]) -> None:
    plane = cluster.control_plane
    starting = Starting(
        Machine(
            name=plane.folder.name,
            folder=plane.folder,
            services=(
                controlplane.etcd(plane, programs["etcd"]),
                controlplane.apiserver(plane, programs["kube-apiserver"]),
                controlplane.controller_manager(plane, programs["kube-controller-manager"]),
                controlplane.scheduler(plane, programs["kube-scheduler"]),
                dns.service(cluster, programs["coredns"]),
            ),
            network=network.inside_control_plane(cluster),
        )
    )
    network.run(network.cable_to_host(cluster, starting.pid))
    starting.proceed()


def _start_nodes(cluster: Layout, programs: Mapping[str, Path]) -> None:
    off = [each for each in cluster.nodes if machine.find(each.folder) is None]
    for each in off:
        say(f"starting {each.name}")
        _start_node(cluster, each, programs)


def _start_node(cluster: Layout, one: Node, programs: Mapping[str, Path]) -> None:
    control_plane = machine.find(cluster.control_plane.folder)
    if control_plane is None:
        raise LocalClusterError(
            f"the control plane of {cluster.name} does not run; `up` replaces the cluster"
        )
    for group in cgroups.found(one.cgroup):
        cgroups.remove(group)  # as a reboot does; the kubelet looks 3 s for each container in them
    cgroups.create(one.cgroup)
    starting = Starting(node.machine(cluster, one, programs))
    network.succeeds(network.unplug_node(one, control_plane))  # of its life before
    network.run(network.cable_to_node(one, control_plane, starting.pid))
    starting.proceed()


def _bring(cluster: Layout, archives: dict[str, Path], ctr: Path) -> None:
    for each in cluster.nodes:
        pid = machine.find(each.folder)
        if pid is None:
            say(f"{each.name} is off and gets no images")
            continue
        health.wait_for_containerd(each, pid)
        imported = images.bring(each, pid, archives, ctr)
        say(
            f"{each.name} has got {', '.join(imported)}"
            if imported
            else f"{each.name} has all images"
        )
