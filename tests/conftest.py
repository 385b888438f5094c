"""What holds for all tests."""

import os
from contextlib import ExitStack

import hypothesis
import pytest

# An example may take as long as the machine is busy: no test asks how long.
hypothesis.settings.register_profile(
    "any speed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any speed")

# torch looks up the name of every peer. On a machine whose DNS does not answer that takes 5 s each
# time, unless the resolver is told to give up sooner; it reads this once, before the first look-up.
os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")


# --- stores --------------------------------------------------------------------------------------


@pytest.fixture
def etcd(tmp_path):
    """An etcd of the test's own, to be mistreated."""
    from etcd_server import Etcd

    etcd = Etcd(tmp_path).start()
    yield etcd
    etcd.kill()


# --- hosts of TCPStores --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_host(tmp_path_factory):
    """A host that a module's tests use side by side, each with a run of its own."""
    from c10d_host import Host

    host = Host(tmp_path_factory.mktemp("host")).start()
    yield host
    host.kill()


@pytest.fixture
def own_host(tmp_path):
    """One to be mistreated."""
    from c10d_host import Host

    host = Host(tmp_path).start()
    yield host
    host.kill()


@pytest.fixture
def hosted_run():
    """Begin a run on a host; its members are real ones."""
    from c10d_host import HostedRuns
    from rounds import Run

    with ExitStack() as stack:
        yield lambda host: Run(HostedRuns(host), stack)
