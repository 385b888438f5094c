"""The control groups of a cluster's containers: the only thing that a node makes on the host.

With version 1 of control groups there is one tree for each controller, with version 2 only one.
"""

from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_UNIFIED = "cgroup.subtree_control"


def create(name: str) -> None:
    """Make the control group `name`, such as "ej-demo/demo-1", in every tree."""
    for tree in _trees():
        group = tree / name
        group.mkdir(parents=True, exist_ok=True)
        for parent in reversed(group.parents[: len(Path(name).parts)]):
            _delegate(parent)


def _delegate(group: Path) -> None:
    """With version 2, let the groups in this one have its controllers."""
    switch = group / _UNIFIED
    if switch.exists():
        controllers = (group / "cgroup.controllers").read_text().split()
        switch.write_text(" ".join(f"+{name}" for name in controllers))


def found(name: str) -> list[Path]:
    """Return the folders of a control group, one in each tree that has it."""
    return [tree / name for tree in _trees() if (tree / name).is_dir()]


def remove(group: Path) -> bool:
    """Remove a control group and those in it; return whether it is gone, False if it is in use."""
    try:
        for inner in sorted(group.rglob("*/"), reverse=True):
            inner.rmdir()
        group.rmdir()
    except OSError:
        return not group.exists()
    return True


def _trees() -> list[Path]:
    if (_MOUNT / _UNIFIED).exists():
        return [_MOUNT]
    return sorted(path for path in _MOUNT.iterdir() if path.is_dir())
