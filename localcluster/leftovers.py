"""What a cluster can leave on the host outside its machines and its folder; and its removal.

Ending a machine ends its processes, mounts, firewall and network. Outside it there are only the
host's cable to the cluster and the control groups of the containers.
"""

from functools import partial
from pathlib import Path

from localcluster import cgroups, machine, network
from localcluster.layout import Layout
from localcluster.progress import wait_until

_EMPTY_TIMEOUT_S = 20.0


def remove(layout: Layout) -> None:
    """Remove the host's cable and the control groups of a cluster whose machines have ended.

    Raises:
        LocalClusterError: a control group still has processes.
    """
    network.succeeds(network.unplug_host(layout))
    for group in cgroups.found(layout.cgroup):
        wait_until(
            partial(cgroups.remove, group),
            f"the control group {group} to be empty",
            timeout_s=_EMPTY_TIMEOUT_S,
            log=group / "cgroup.procs",
        )


def found(layout: Layout) -> list[str]:
    """Return a description of everything of the cluster that is still on this machine."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [
        *(f"process {pid} of {path.name}" for path, pid in machine.running(layout.folder).items()),
        *(f"interface {name}" for name in network.interfaces() if name == layout.interface),
        *(f"mount {mount}" for mount in mounts if mount.startswith(f"{layout.folder}/")),
        *(f"control group {group}" for group in cgroups.found(layout.cgroup)),
        *([f"folder {layout.folder}"] if layout.folder.exists() else []),
    ]
