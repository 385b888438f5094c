"""Two demos at once would take away each other's job, or cluster."""

import os
import subprocess
import sys
import textwrap

import pytest

from examples.demo import lock


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ELASTICJOB_CACHE", str(tmp_path))


def test_a_second_demo_on_the_same_cluster_is_refused_and_told_by_whom():
    words = rf"on the local cluster runs already, as process {os.getpid()}:"
    with lock.held("local"), pytest.raises(lock.BusyError, match=words), lock.held("local"):
        pass


def test_another_cluster_is_free():
    with lock.held("local"), lock.held("current"):
        pass


def test_a_demo_that_was_killed_is_in_nobodys_way():
    program = """
        import os
        from examples.demo import lock
        with lock.held("local"):
            os.kill(os.getpid(), 9)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert done.returncode == -9
    with lock.held("local"):
        pass
