"""Programs that Debian ships: fetched from their packages, not installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from localcluster import paths


def has_packages() -> bool:
    """Return whether this machine has Debian packages."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def fetch(package: str, name: str) -> Path:
    """Return the program of this name, kept from an earlier call or taken out of the package.

    Raises:
        subprocess.CalledProcessError: the package cannot be fetched.
    """
    program = paths.cache() / f"debian-{package}" / name
    if not program.exists():
        with tempfile.TemporaryDirectory() as folder:
            _download(package, folder)
            archive = next(Path(folder).glob(f"{package}_*.deb"))
            subprocess.run(["dpkg-deb", "--extract", archive, folder], check=True)
            program.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(Path(folder) / "usr" / "bin" / name, program)
    return program


def _download(package: str, folder: str) -> None:
    download = ["apt-get", "--quiet", "download", package]
    if subprocess.run(download, cwd=folder, check=False).returncode != 0:
        subprocess.run(["apt-get", "--quiet", "update"], check=True)  # the lists may be old
        subprocess.run(download, cwd=folder, check=True)
