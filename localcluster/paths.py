"""Where things are kept: what may be reused (the cache) and what one cluster is (the state)."""

import os
from pathlib import Path

from localcluster.errors import LocalClusterError

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent


def cache() -> Path:
    """Return the folder of things worth keeping: binaries, images, the training environment."""
    given = os.environ.get("ELASTICJOB_CACHE")
    return Path(given).absolute() if given else Path.home() / ".cache" / "elasticjob"


def state() -> Path:
    """Return the folder under which every cluster has one of its own."""
    given = os.environ.get("ELASTICJOB_STATE")
    root = Path(given).absolute() if given else Path.home() / ".local" / "state"
    return root / "elasticjob"


def training() -> Path:
    """Return the virtual environment with torch that the example's pods see."""
    return cache() / "training"


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter, and return it.

    Raises:
        LocalClusterError: it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LocalClusterError(f"cannot make the folder {path}: {error.strerror}") from None
    return path
