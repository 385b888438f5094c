"""A real API server with its controllers, a real etcd for rounds, and the operator as a process.

There is no kubelet: a test plays it by writing the status of pods, and it plays the workers by
writing their records into the store.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from contextlib import ExitStack
from pathlib import Path

import played_job
import pytest
import yaml
from etcd_server import Etcd
from interference import Interference
from kubectl import Kubectl, a_namespace, until
from operator_process import operating
from paper_nodes import PaperNodes

from benchmarks.scale import audit
from elasticjob_operator.sdk import ElasticJobs
from localcluster import binaries, controlplane
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


# --- a user ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def roles(plane):
    """What the chart gives to those who may edit or view a namespace."""
    helm = binaries.ensure(["helm"])["helm"]
    chart, kubernetes = ROOT / "charts" / "elasticjob", "--kube-version=1.37.0"
    done = subprocess.run(
        [helm, "template", "e", chart, kubernetes, "--show-only=templates/rbac.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    roles = [
        role
        for role in yaml.safe_load_all(done.stdout)
        if any("aggregate-to" in label for label in role["metadata"]["labels"])
    ]
    admin = Kubectl(plane.kubeconfig)
    for role in roles:
        admin("apply", "--filename=-", given=json.dumps(role))
    yield
    for role in roles:
        admin("delete", "clusterrole", role["metadata"]["name"])


@pytest.fixture
def kubeconfig(plane, kubectl, roles, tmp_path):
    """That of a user who may edit the test's namespace, which is its context's, and no other."""
    path = plane.kubeconfig_for("editor", path=tmp_path / "editor.kubeconfig")
    document = yaml.safe_load(path.read_text())
    document["contexts"][0]["context"]["namespace"] = kubectl.namespace
    path.write_text(yaml.safe_dump(document))
    kubectl("create", "rolebinding", "editor", "--clusterrole=edit", "--user=editor")
    user = Kubectl(path, kubectl.namespace)
    may = ("auth", "can-i", "patch", "elasticjobs.rdzv.dev", "--subresource=scale")
    until(lambda: user.tried(*may).returncode == 0, "the rights of an editor")
    return path


@pytest.fixture
def jobs(kubeconfig):
    with ElasticJobs(kubeconfig=str(kubeconfig)) as jobs:
        yield jobs


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
        yield played_job.jobs(kubectl, client, etcd_url)


@pytest.fixture
def job_in(kubectl):
    """Creates jobs that meet in an etcd of the test's own: `job_in(client, rendezvous=...)`."""
    return lambda client, **spec: played_job.jobs(kubectl, client, "")(**spec)


@pytest.fixture
def job_elsewhere(plane, etcd_url, tmp_path):
    """Creates jobs in another namespace, with an operator of its own, in the same etcd."""
    (folder := tmp_path / "elsewhere").mkdir()
    with (
        a_namespace(plane) as kubectl,
        operating(plane, kubectl, folder),
        Client([etcd_url]) as client,
    ):
        yield played_job.jobs(kubectl, client, etcd_url)
