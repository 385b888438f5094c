"""What this machine must offer, and how it gets it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from localcluster import paths
from localcluster.errors import LocalClusterError
from localcluster.progress import failure, say, step

_PACKAGES = {  # what is looked for: the Debian package that brings it
    "runc": "runc",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "mount": "mount",
}
_NETWORK_PLUGINS_PACKAGE = "containernetworking-plugins"
_NETWORK_PLUGIN_FOLDERS = ("/usr/lib/cni", "/usr/libexec/cni", "/opt/cni/bin")
_INSTEAD = (
    "Instead, use a cluster you already have with CLUSTER=current (the one your KUBECONFIG names), "
    "or CLUSTER=kind."
)


def check() -> None:
    """Check that a cluster can run here at all.

    Raises:
        LocalClusterError: this is not Linux, or we are not root; with what else can be done.
    """
    if sys.platform != "linux":
        raise LocalClusterError(
            f"the local cluster is made of Linux namespaces, and this is {sys.platform}. {_INSTEAD}"
        )
    if os.geteuid() != 0:
        raise LocalClusterError(
            "the local cluster needs root, to make Linux namespaces and a network of its own. "
            f"{_INSTEAD}"
        )


def provide() -> None:
    """Install the Debian packages that a cluster needs and that are missing, and only those.

    Raises:
        LocalClusterError: they cannot be installed here; with what is missing.
    """
    missing = _missing(_PACKAGES)
    if network_plugins() is None:
        missing.append(_NETWORK_PLUGINS_PACKAGE)
    if missing:
        _install(missing)


def provide_programs(packages: Mapping[str, str]) -> None:
    """Install the Debian packages of these programs, by program, where they are missing.

    Raises:
        LocalClusterError: they cannot be installed here; with what is missing.
    """
    if missing := _missing(packages):
        _install(missing)


def _missing(packages: Mapping[str, str]) -> list[str]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # not every root has these in PATH
    return [each for program, each in packages.items() if not shutil.which(program, path=path)]


def network_plugins() -> Path | None:
    """Return the folder of the CNI plugins, None when they are not installed."""
    folders = (Path(folder) for folder in _NETWORK_PLUGIN_FOLDERS)
    return next((folder for folder in folders if (folder / "ptp").exists()), None)


def _install(packages: list[str]) -> None:
    if shutil.which("apt-get") is None:
        raise LocalClusterError(
            f"missing on this machine: {', '.join(packages)} (the names of the Debian packages). "
            f"Install what brings them. {_INSTEAD}"
        )
    log = paths.private_folder(paths.cache()) / "apt.log"
    with step(f"installing {', '.join(packages)}"):
        install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
        if not _apt(install, log):
            say("the package lists may be old; renewing them")
            if not (_apt(["apt-get", "update"], log) and _apt(install, log)):
                raise failure(f"cannot install {', '.join(packages)}", log)


def _apt(command: list[str], log: Path) -> bool:
    with log.open("a") as file:
        return (
            subprocess.run(
                command,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
            == 0
        )
