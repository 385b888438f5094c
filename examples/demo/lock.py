"""One demo at a time on a cluster: none takes away what another is showing."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from localcluster import paths


class BusyError(Exception):
    """Another demo has the cluster; the text says which process."""


@contextmanager
def held(cluster: str) -> Iterator[None]:
    """Keep the `cluster` (local, current or kind) for this process, until the block or it ends.

    Raises:
        BusyError: another process has it.
    """
    path = paths.private_folder(paths.cache()) / f"demo-{cluster}.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BusyError(
                f"a demo on the {cluster} cluster runs already, as process {file.read()}: "
                "wait for its end, or interrupt it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
