"""This project as pip would install it: its wheel, and what the operator needs besides."""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import tomllib

from localcluster import paths
from localcluster.progress import failure, step

_PYPROJECT = paths.REPOSITORY / "pyproject.toml"
_SOURCES = ("operator/elasticjob_operator", "rdzv_client")
_FILES = ("pyproject.toml", "README.md", "LICENSE")


def version() -> str:
    """Return the project's version, which tags its images."""
    found: str = tomllib.loads(_PYPROJECT.read_text())["project"]["version"]
    return found


def unpacked(folder: Path) -> Path:
    """Return a folder with the project's wheel unpacked in it, built anew if the code changed.

    Raises:
        LocalClusterError: pip cannot build it.
    """
    sources = [paths.REPOSITORY / name for name in _FILES]
    for source in _SOURCES:
        sources += sorted((paths.REPOSITORY / source).rglob("*.py"))
    target = folder / f"project-{_digest(path.read_bytes() for path in sources)}"
    if not target.exists():
        with step("building the project's wheel"):
            _build(target)
    return target


def _build(target: Path) -> None:
    wheels = target.with_name("wheels")
    shutil.rmtree(wheels, ignore_errors=True)
    _pip("wheel", "--no-deps", "--wheel-dir", str(wheels), str(paths.REPOSITORY), log=target)
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        wheel.extractall(partial)
    partial.rename(target)
    shutil.rmtree(wheels)
    _forget_others(target, "project-")


def dependencies(folder: Path) -> Path:
    """Return a folder with what `elasticjob[operator]` needs, installed anew if the pins changed.

    Raises:
        LocalClusterError: pip cannot install it.
    """
    project = tomllib.loads(_PYPROJECT.read_text())["project"]
    pins = [*project["dependencies"], *project["optional-dependencies"]["operator"]]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    target = folder / f"dependencies-{_digest(pin.encode() for pin in [*pins, python])}"
    if not target.exists():
        with step("installing what the operator needs, for its image"):
            partial = target.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            _pip("install", "--target", str(partial), *pins, log=target)
            partial.rename(target)
            _forget_others(target, "dependencies-")
    return target


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


def _pip(*arguments: str, log: Path) -> None:
    log = log.with_suffix(".log")
    with log.open("w") as file:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise failure(f"`pip {arguments[0]}` failed", log)


def _forget_others(target: Path, prefix: str) -> None:
    for other in target.parent.glob(f"{prefix}*"):
        if other.is_dir() and other != target:
            shutil.rmtree(other, ignore_errors=True)
