"""What every container sees of this machine, so that images need no operating system.

containerd starts every container from a base runtime specification. Ours adds read-only views of
the machine's programs and libraries, its Python, and the training environment with torch. So an
image holds only what is ours, and a job's manifest is the same as on any other cluster.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from localcluster import paths
from localcluster.errors import LocalClusterError

_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64",
    "/etc/alternatives", "/etc/ld.so.cache",
)  # fmt: skip
_BROUGHT_BY_INIT_CONTAINER = "rdzv_client"


def shown_paths() -> list[Path]:
    """Return the paths of this machine that containers see, at the same place."""
    pythons = {Path(sys.base_prefix), *_base_of(paths.training())}
    candidates = [*map(Path, _SYSTEM), *sorted(pythons), paths.training()]
    existing = [path for path in candidates if path.exists()]
    return [path for path in existing if not _is_inside_another(path, existing)]


def _is_inside_another(path: Path, others: list[Path]) -> bool:
    return any(path != other and path.is_relative_to(other) for other in others)


def _base_of(environment: Path) -> list[Path]:
    """Return the Python installation that a virtual environment was made from, if it exists."""
    python = environment / "bin" / "python"
    return [python.resolve().parent.parent] if python.exists() else []


def build(plain: dict[str, Any], shown: list[Path]) -> dict[str, Any]:
    """Return the specification `plain` with read-only views of `shown` added. Pure.

    Its limits on open files are dropped: containers inherit the machine's, as they do elsewhere.
    """
    views = [
        {
            "destination": str(path),
            "type": "bind",
            "source": str(path),
            "options": ["rbind", "ro", "nosuid", "nodev"],
        }
        for path in shown
    ]
    process = {name: value for name, value in plain["process"].items() if name != "rlimits"}
    return {**plain, "process": process, "mounts": [*plain["mounts"], *views]}


def write(path: Path, ctr: Path) -> None:
    """Write the base runtime specification of a node's containerd.

    Raises:
        LocalClusterError: a Python that containers would see can already import rdzv_client.
    """
    _check_pythons()
    spec = subprocess.run([ctr, "oci", "spec"], capture_output=True, check=True).stdout
    path.write_text(json.dumps(build(json.loads(spec), shown_paths()), indent=2))


def _check_pythons() -> None:
    """Make sure that only the init container can bring rdzv_client, as on any other cluster."""
    for python in sorted(_pythons()):
        if _can_import(python, _BROUGHT_BY_INIT_CONTAINER):
            raise LocalClusterError(
                f"{python} can import {_BROUGHT_BY_INIT_CONTAINER}, and containers would see it "
                "there instead of the copy that the operator brings: uninstall it from there"
            )


def _pythons() -> set[Path]:
    candidates = (
        Path("/usr/bin/python3"),
        Path(sys.base_prefix, "bin", "python3"),
        paths.training() / "bin" / "python",
    )
    return {path for path in candidates if path.exists()}


def _can_import(python: Path, module: str) -> bool:
    question = f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{module}') is None)"
    environment = {"PATH": os.environ.get("PATH", "")}
    return (
        subprocess.run(
            [python, "-c", question], cwd="/", env=environment, check=False, capture_output=True
        ).returncode
        == 0
    )
