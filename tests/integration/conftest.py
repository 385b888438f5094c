"""A real API server with its controllers, a real etcd for rounds, and the operator as a process.

There is no kubelet: a test plays it by writing the status of pods, and it plays the workers by
writing their records into the store.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from pathlib import Path

import pytest
from etcd_server import Etcd
from interference import Interference
from kubectl import Kubectl, a_namespace, until
from operator_process import operating
from paper_nodes import PaperNodes
from played_job import jobs

from benchmarks.scale import audit
from localcluster import controlplane
from rdzv_client.etcdv3 import Client

ROOT = Path(__file__).parents[2]
IPV6 = "2001:db8::/112"


# --- servers -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def plane(tmp_path_factory):
    """A plane whose services have addresses of both families."""
    folder = tmp_path_factory.mktemp("plane")
    both = f"--service-cluster-ip-range=10.0.0.0/24,{IPV6}"
    flags = [*audit.flags(folder), both]
    with controlplane.running(folder / "plane", controllers=True, server_flags=flags) as plane:
        serve_jobs(plane)
        yield plane


@pytest.fixture(scope="session")
def scheduling_plane(tmp_path_factory):
    """A plane with a real scheduler and gang scheduling, for nodes that nothing runs on.

    Its services have IPv6 addresses alone.
    """
    folder, features = tmp_path_factory.mktemp("scheduling") / "plane", ["GenericWorkload"]
    with controlplane.running(
        folder, controllers=True, scheduling=True, service_network=IPV6, features=features
    ) as plane:
        serve_jobs(plane)
        yield plane


def serve_jobs(plane):
    crd = ROOT / "crds" / "elasticjobs.yaml"
    kubectl = Kubectl(plane.kubeconfig)
    kubectl("apply", "--server-side", f"--filename={crd}")
    kubectl("wait", "--for=condition=Established", "crd/elasticjobs.rdzv.dev")
    until(lambda: kubectl.tried("get", "elasticjobs").returncode == 0, "the new resource")


@pytest.fixture
def interference(plane):
    """A proxy before the API server, for whom a test sends there."""
    with Interference(plane) as interference:
        yield interference


@pytest.fixture(scope="session")
def etcd_url(tmp_path_factory):
    etcd = Etcd(tmp_path_factory.mktemp("etcd")).start()
    yield etcd.url
    etcd.kill()


# --- kubectl -----------------------------------------------------------------------------------


@pytest.fixture
def kubectl(plane):
    """kubectl in a namespace of the test's own."""
    with a_namespace(plane) as kubectl:
        yield kubectl


@pytest.fixture
def nodes(kubectl):
    """Nodes that nothing runs on, for a real scheduler."""
    nodes = PaperNodes(kubectl)
    yield nodes
    nodes.remove()


# --- the operator ------------------------------------------------------------------------------


@pytest.fixture
def operators(plane, kubectl, tmp_path):
    """Starts operators, each with settings of its own: `one = operators(WORKERS="2")`.

    `server` is where they find the API server, if not where it is.
    """
    with ExitStack() as stack:
        numbers = itertools.count()

        def start(**settings):
            name = f"operator-{next(numbers)}"
            return stack.enter_context(operating(plane, kubectl, tmp_path, name, **settings))

        yield start


@pytest.fixture
def operator(operators):
    return operators()


# --- the kubelet's and the workers' part ---------------------------------------------------------


@pytest.fixture
def job(kubectl, etcd_url):
    """Creates jobs whose workers meet in the test's etcd."""
    with Client([etcd_url]) as client:
        yield jobs(kubectl, client, etcd_url)


@pytest.fixture
def job_in(kubectl):
    """Creates jobs that meet in an etcd of the test's own: `job_in(client, rendezvous=...)`."""
    return lambda client, **spec: jobs(kubectl, client, "")(**spec)


@pytest.fixture
def job_elsewhere(plane, etcd_url, tmp_path):
    """Creates jobs in another namespace, with an operator of its own, in the same etcd."""
    (folder := tmp_path / "elsewhere").mkdir()
    with (
        a_namespace(plane) as kubectl,
        operating(plane, kubectl, folder),
        Client([etcd_url]) as client,
    ):
        yield jobs(kubectl, client, etcd_url)
