"""A cluster with the operator installed, and for every test a namespace of its own in it.

The cluster is the local one, started for the session and removed after it, or the one whose
kubeconfig `ELASTICJOB_E2E_KUBECONFIG` names. With `pytest --numprocesses` all processes share it,
and tests run beside each other, but for those that ask for `operator` or `machines`: what they do
there others would feel.
"""

import copy
import dataclasses
import fcntl
import os
import signal
import sys
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path

import processes
import pytest
import yaml
from running_job import Job
from sharing import locked, shared

from examples.demo import diagnosis, release
from examples.demo.board import Board
from examples.demo.commands import Tools
from examples.demo.narrator import Narrator
from examples.demo.spectator import Spectator
from localcluster import binaries, paths
from localcluster import cluster as local_cluster
from localcluster.errors import LocalClusterError

ROOT = Path(__file__).parents[2]
TICKING = Path(__file__).with_name("ticking.py")
CLUSTER = "e2e"
NODES = 2
REPLICAS = 2
TEST_LIMIT_S = 420
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(TEST_LIMIT_S, func_only=True))
    items.sort(key=_runs_alone)  # last: then nobody waits for them


def _runs_alone(item):
    return "alone" in getattr(item, "fixturenames", ())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


# --- the cluster and the operator ----------------------------------------------------------------


@pytest.fixture(scope="session")
def common(tmp_path_factory, worker_id):
    """A folder that is the same for all processes of this run."""
    folder = tmp_path_factory.getbasetemp()
    return folder if worker_id == "master" else folder.parent


@pytest.fixture(scope="session")
def cluster(common):
    """Tools that speak to a cluster that has the images."""
    given = os.environ.get("ELASTICJOB_E2E_KUBECONFIG")
    folder = binaries.ensure(["kubectl", "helm"])["kubectl"].parent
    if given:
        yield Tools(Narrator(), kubeconfig=Path(given).absolute(), folder=folder)
        return
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the local cluster needs Linux and root; or set ELASTICJOB_E2E_KUBECONFIG")
    users = paths.private_folder(paths.cache()) / f"{CLUSTER}.users"
    with (
        users.open("a") as run,
        shared(common, "cluster", lambda: _start_cluster(run), lambda: local_cluster.down(CLUSTER)),
    ):
        fcntl.flock(run, fcntl.LOCK_SH)
        made = local_cluster.load(CLUSTER)
        yield Tools(Narrator(), kubeconfig=made.control_plane.kubeconfig, folder=folder)


def _start_cluster(run):
    """Start it new: what is there without another run was left by one that was killed."""
    try:
        fcntl.flock(run, fcntl.LOCK_EX | fcntl.LOCK_NB)
        local_cluster.down(CLUSTER)
        local_cluster.up(CLUSTER, NODES)
    except BlockingIOError:
        pytest.exit(f"another run of these tests uses the cluster {CLUSTER}", returncode=1)
    except LocalClusterError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture
def machines(cluster, alone):
    """The local cluster's machines, of which a node may be ended; no other test runs meanwhile."""
    if os.environ.get("ELASTICJOB_E2E_KUBECONFIG"):
        pytest.skip("only a node of the local cluster can be ended")
    return local_cluster.load(CLUSTER)


@dataclasses.dataclass(frozen=True)
class Operator:
    """The operator's deployment."""

    tools: Tools

    def _kubectl(self, *words, timeout_s=90):
        namespace = f"--namespace={release.NAMESPACE}"
        return self.tools.show("kubectl", namespace, *words, timeout_s=timeout_s)

    @contextmanager
    def away(self):
        """Within this, no operator runs."""
        try:
            self._kubectl("scale", release.DEPLOYMENT, "--replicas=0")
            self._kubectl("wait", "--for=delete", "pod", release.PODS, "--timeout=60s")
            yield
        finally:
            self._kubectl("scale", release.DEPLOYMENT, f"--replicas={REPLICAS}")
            self._kubectl("rollout", "status", release.DEPLOYMENT, "--timeout=80s")

    def leader(self):
        """Return the name of the pod that leads."""
        holder = "--output=jsonpath={.spec.holderIdentity}"
        lease = ("kubectl", "get", "lease/elasticjob-operator", f"--namespace={release.NAMESPACE}")
        return self.tools.ask(*lease, holder).rpartition("_")[0]

    def kill(self):
        """End the operator's pod without grace; its deployment makes another."""
        self._kubectl("delete", "pod", release.PODS, "--grace-period=0", "--force")

    def kill_process(self, pod):
        """End what runs in this pod of it so that it can do nothing more; and the pod."""
        lease = f"{release.NAMESPACE}/elasticjob-operator"
        for pid in processes.of_pod(pod, ELASTICJOB_OPERATOR_LEASE=lease):
            os.kill(pid, signal.SIGKILL)
        at_once = ("--grace-period=0", "--force", "--ignore-not-found")
        self._kubectl("delete", "pod", pod, *at_once)

    def lives(self):
        """How often the container of each of its pods was started again."""
        count = "{.metadata.name} {.status.containerStatuses[0].restartCount}"
        shown = f'--output=jsonpath={{range .items[*]}}{count}{{"\\n"}}{{end}}'
        lines = self._kubectl("get", "pods", release.PODS, shown).splitlines()
        return {pod: int(times) for pod, times in map(str.split, lines)}

    def liveness_failures(self):
        """What the kubelets say of its liveness, when they do not hear of it."""
        unhealthy = ("--field-selector=reason=Unhealthy", "--output=jsonpath={..message}")
        said = self._kubectl("get", "events", *unhealthy)
        return [line for line in said.splitlines() if "Liveness" in line]


@pytest.fixture(scope="session")
def installed(cluster, common, request):
    """Tools that speak to a cluster where the operator is, installed by helm from the chart."""

    def install():
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(request.config.rootpath)
            release.install(cluster)

    with shared(common, "operator", install):
        yield cluster


@pytest.fixture
def operator(installed, alone):
    """The operator, which may be sent away or killed; no other test runs meanwhile."""
    return Operator(installed)


# --- whose the cluster is ------------------------------------------------------------------------


@pytest.fixture
def turn(installed, common, request):
    """A time in which this test may use the cluster: beside others, unless it asks for `alone`."""
    with locked(common / "turn", exclusive="alone" in request.fixturenames):
        yield


@pytest.fixture
def alone(turn):
    """For a test that does to the cluster what others would feel."""


@pytest.fixture
def node(operator, machines):
    """The name of the node without the operator that leads; it may be ended, and starts again."""
    tools, where = operator.tools, "--output=jsonpath={.spec.nodeName}"
    pods = ("kubectl", "get", f"pod/{operator.leader()}", f"--namespace={release.NAMESPACE}", where)
    nodes = tools.ask("kubectl", "get", "nodes", "--output=name").split()
    names = [name.removeprefix("node/") for name in nodes]
    other = next(name for name in names if name != tools.ask(*pods))
    yield other
    local_cluster.start_node(machines, other)


# --- a namespace and the jobs in it --------------------------------------------------------------


@pytest.fixture
def tools(installed, turn, tmp_path, request):
    """Tools that speak to a fresh namespace; shows the state of affairs if the test fails."""
    namespace = f"e2e-{uuid.uuid4().hex[:8]}"
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_bytes(installed.kubeconfig.read_bytes())
    tools = dataclasses.replace(installed, kubeconfig=kubeconfig)
    tools.ask("kubectl", "create", "namespace", namespace)
    tools.ask("kubectl", "config", "set-context", "--current", f"--namespace={namespace}")
    yield tools
    if request.node.stash.get(FAILED, True):
        diagnosis.show_job(tools, "digits")
    tools.ask("kubectl", "delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def manifest():
    """Build an ElasticJob from the digits example: `manifest(epochs=5, minReplicas=1)`.

    `script` is a training script in place of the example's; `ticking` asks for ticking.py, which
    costs next to nothing.
    """
    example = yaml.safe_load((ROOT / "examples" / "digits.yaml").read_text())

    def build(
        name="digits",
        *,
        epochs=None,
        width=32,
        command=None,
        image=None,
        script=None,
        ticking=False,
        **spec,
    ):
        job = copy.deepcopy(example)
        del job["spec"]["rendezvous"]  # newcomers are let in at once
        job["metadata"]["name"] = name
        container = job["spec"]["template"]["spec"]["containers"][0]
        if epochs:
            container["command"] = ["torchrun", "train.py", f"--epochs={epochs}"]
            container["command"].append(f"--width={width}")
        if ticking:
            script = TICKING.read_text()
        if script:
            write = f"cat > /tmp/train.py <<'END'\n{script}\nEND\n"
            container["command"] = ["sh", "-c", f"{write}exec torchrun /tmp/train.py"]
        container["command"] = command or container["command"]
        container["image"] = image or container["image"]
        job["spec"] |= spec
        return job

    return build


@pytest.fixture
def run(tools):
    """Apply a job and watch it: `job = run(manifest(epochs=5))`."""
    with ExitStack() as spectators:

        def run(job):
            board, name = Board(), job["metadata"]["name"]
            tools.show("kubectl", "apply", "--filename=-", stdin=yaml.safe_dump(job))
            spectators.enter_context(Spectator(tools, name, board))
            return Job(name, tools, board)

        yield run
