"""The etcd that Debian ships, older than ours (3.4 in Debian 12): fetched, not installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from localcluster import paths

_PACKAGE = "etcd-server"


def is_available() -> bool:
    """Return whether this machine has Debian packages."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def fetch() -> Path:
    """Return the program, kept from an earlier call or taken out of the package.

    Raises:
        subprocess.CalledProcessError: the package cannot be fetched.
    """
    program = paths.cache() / "debian-etcd" / "etcd"
    if not program.exists():
        with tempfile.TemporaryDirectory() as folder:
            _download(folder)
            package = next(Path(folder).glob(f"{_PACKAGE}_*.deb"))
            subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
            program.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(Path(folder) / "usr" / "bin" / "etcd", program)
    return program


def _download(folder: str) -> None:
    download = ["apt-get", "--quiet", "download", _PACKAGE]
    if subprocess.run(download, cwd=folder, check=False).returncode != 0:
        subprocess.run(["apt-get", "--quiet", "update"], check=True)  # the lists may be old
        subprocess.run(download, cwd=folder, check=True)
