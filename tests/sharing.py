"""What the processes of one test run share: made by the first, removed after the last.

The locks are the operating system's, so a process that is killed holds none.
"""

import fcntl
from contextlib import contextmanager, suppress


@contextmanager
def locked(path, *, exclusive=True):
    """Hold the lock at the path: alone, or together with all who do not ask for it alone."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


@contextmanager
def shared(folder, name, make, remove=lambda: None):
    """Within this there is what ``make`` makes once, whoever else is within.

    Args:
        folder: The same for all who share; it is there.
        name: What is shared.
        make: Called by the first who comes, while the others wait.
        remove: Called by the last who leaves.
    """
    gate = folder / f"{name}.gate"
    with (folder / f"{name}.users").open("a") as users:
        with locked(gate):
            if _is_only_user(users):
                make()
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with locked(gate):
                if _is_only_user(users):
                    remove()
                fcntl.flock(users, fcntl.LOCK_UN)


def _is_only_user(users):
    with suppress(BlockingIOError):
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
