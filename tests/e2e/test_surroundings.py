"""What a job finds in its user's cluster: an autoscaler, an etcd that is theirs, and volumes."""

import dataclasses
import json
from base64 import b64encode
from datetime import UTC, datetime

import autoscaler
import long_plays
import pytest
import yaml
from long_plays import LIMIT_S
from running_job import restarts_of

from elasticjob_operator import authority
from examples.demo import release, story
from examples.demo.commands import Tools
from rdzv_client import wire

pytestmark = long_plays.ONLY_WHEN_ASKED_FOR

TLS, LOGIN, PASSWORD = "etcd-tls", "etcd-login", "tr41n-p4ssword"


def namespace_of(tools):
    return tools.ask("kubectl", "config", "view", "--minify", "--output=jsonpath={..namespace}")


def create(tools, *manifests):
    documents = "\n---\n".join(map(yaml.safe_dump, manifests))
    tools.ask("kubectl", "apply", "--server-side", "--filename=-", stdin=documents)


def progressing(known):
    found = known.condition("Progressing")
    return found.get("reason"), found.get("message", "")


# --- an autoscaler -------------------------------------------------------------------------------


@pytest.fixture
def metrics(tools):
    """Serve a metric from outside the cluster."""
    name = autoscaler.EXTERNAL["metadata"]["name"]
    create(tools, autoscaler.EXTERNAL)
    tools.ask("kubectl", "wait", "--for=condition=Established", f"crd/{name}")
    yield
    tools.ask("kubectl", "delete", "crd", name)


def test_an_autoscaler_has_workers_started_and_asked_to_leave(run, manifest, tools, metrics):
    job = run(manifest(ticking=True, minReplicas=2, replicas=2, maxReplicas=4))
    job.wait("an epoch of two", lambda known: story.count_epochs(known, 2) >= 1)
    create(tools, autoscaler.backlog(1000), autoscaler.by_backlog(2, 4, each=10))
    job.wait("an epoch of four", lambda known: story.count_epochs(known, 4) >= 1, LIMIT_S)
    tools.show("kubectl", "get", "hpa,elasticjobs")
    create(tools, autoscaler.backlog(1))
    job.wait("a round of two", lambda known: story.is_round_of(known, 2), LIMIT_S)
    known = job.wait("two pods", lambda known: known.job["status"]["replicas"] == 2)
    assert known.job["status"]["rendezvous"]["history"][-1]["cause"] == "drain"
    assert {len(one.members) for one in known.rounds} <= {2, 3, 4}
    assert restarts_of(known) == (0, 0)
    job.delete()


# --- an etcd of the user's -----------------------------------------------------------------------


def secret(name, **content):
    data = {key: b64encode(value).decode() for key, value in content.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


@dataclasses.dataclass(frozen=True)
class UsersEtcd:
    """An etcd with TLS in a pod of the namespace, which asks for a password."""

    tools: Tools
    namespace: str
    certificate: bytes

    @property
    def url(self):
        return f"https://etcd.{self.namespace}.svc:2379"

    def call(self, path, **body):
        pod = f"/api/v1/namespaces/{self.namespace}/pods/https:etcd:2379/proxy{path}"
        words = ("create", f"--raw={pod}", "--filename=-")
        return json.loads(self.tools.ask("kubectl", *words, stdin=json.dumps(body)))


def etcd_pod(image):
    files = {"name": "tls", "mountPath": "/tls"}
    container = {
        "name": "etcd",
        "image": image,
        "command": [
            *("/opt/etcd/etcd", "--data-dir=/data/etcd", "--cert-file=/tls/tls.crt"),
            *("--key-file=/tls/tls.key", "--listen-client-urls=https://0.0.0.0:2379"),
            "--advertise-client-urls=https://127.0.0.1:2379",
            "--listen-metrics-urls=http://0.0.0.0:2381",
        ],
        "volumeMounts": [files, {"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 2381}, "periodSeconds": 1},
    }
    volumes = [{"name": "tls", "secret": {"secretName": TLS}}, {"name": "data", "emptyDir": {}}]
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 0}
    metadata = {"name": "etcd", "labels": {"app": "etcd"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.fixture
def etcd(tools):
    """It runs, and knows a user who may write what jobs write, and nothing else."""
    namespace = namespace_of(tools)
    hosts = (f"etcd.{namespace}.svc", "127.0.0.1")
    pair = authority.new().store("etcd", datetime.now(UTC), hosts)
    files = {"tls.crt": pair.certificate, "tls.key": pair.key}
    stores = ("get", "--namespace=elasticjob-system", release.DEPLOYMENT, "--output=json")
    deployed = json.loads(tools.ask("kubectl", *stores))["spec"]["template"]["spec"]
    variables = {one["name"]: one.get("value") for one in deployed["containers"][0]["env"]}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "etcd"},
        "spec": {"selector": {"app": "etcd"}, "ports": [{"port": 2379}]},
    }
    image = variables["ELASTICJOB_OPERATOR_ETCD_IMAGE"]
    create(tools, secret(TLS, **files), service, etcd_pod(image))
    tools.ask("kubectl", "wait", "--for=condition=Ready", "pod/etcd", "--timeout=60s", timeout_s=70)
    etcd = UsersEtcd(tools, namespace, pair.authority)
    etcd.call("/v3/auth/user/add", name="root", password="r00t")
    etcd.call("/v3/auth/user/grant", user="root", role="root")
    etcd.call("/v3/auth/role/add", name="jobs")
    root = wire.Keys("any").root
    below = {"key": b64(f"{root}/"), "range_end": b64(f"{root}0"), "permType": "READWRITE"}
    etcd.call("/v3/auth/role/grant", name="jobs", perm=below)
    etcd.call("/v3/auth/user/add", name="trainer", password=PASSWORD)
    etcd.call("/v3/auth/user/grant", user="trainer", role="jobs")
    etcd.call("/v3/auth/enable")
    return etcd


def b64(text):
    return b64encode(text.encode()).decode()


@pytest.fixture
def reading_secrets(operator, request, monkeypatch):
    """Let the operator read Secrets, when asked to, until the test ends."""
    monkeypatch.chdir(request.config.rootpath)
    words = ("upgrade", release.RELEASE, release.CHART, f"--namespace={release.NAMESPACE}")
    values = ("--reuse-values", "--set=rbac.readSecrets=true", f"--description={release.MADE_BY}")
    yield lambda: operator.tools.show("helm", *words, *values, "--wait", timeout_s=120)
    release.install(operator.tools)


def test_two_jobs_meet_in_one_etcd_with_a_password_and_never_each_other(
    run, manifest, tools, etcd, reading_secrets
):
    where = {"etcd": {"endpoints": [etcd.url], "secretRef": {"name": LOGIN}}}
    one = run(manifest("one", ticking=True, rendezvous=where))
    known = one.wait(
        "what is missing", lambda known: progressing(known)[0] == "CredentialsUnusable"
    )
    assert progressing(known)[1].endswith("its chart needs rbac.readSecrets=true")
    reading_secrets()
    words = f"the Secret {etcd.namespace}/{LOGIN} of rendezvous.etcd.secretRef is not there"
    one.wait("what is missing now", lambda known: progressing(known)[1] == words)
    login = {"username": b"trainer", "password": PASSWORD.encode()}
    create(tools, secret(LOGIN, **{"ca.crt": etcd.certificate}, **login))
    other = run(manifest("other", ticking=True, minReplicas=1, replicas=1, rendezvous=where))
    one.wait("an epoch of two", lambda known: story.count_epochs(known, 2) >= 1, LIMIT_S)
    other.wait("an epoch of one", lambda known: story.count_epochs(known, 1) >= 1, LIMIT_S)
    for job, count in ((one, 2), (other, 1)):
        known = job.wait("its round", lambda known, count=count: story.is_round_of(known, count))
        assert {pod.rpartition("-")[0][:-2] for pod in known.rounds[0].members} == {job.name}
        assert known.job["status"]["rendezvous"]["endpoint"].startswith("etcds://etcd.")
        assert len(job.finish().rounds) == 1
    shown = tools.ask("kubectl", "get", "elasticjobs,events,pods", "--output=yaml")
    assert PASSWORD not in shown
    assert b64(PASSWORD) not in shown


# --- volumes -------------------------------------------------------------------------------------


@pytest.fixture
def volume(tools, manifest):
    """Make a volume on a node, for claims of the class that is the namespace's name."""
    name = namespace_of(tools)
    node = tools.ask("kubectl", "get", "nodes", "--output=jsonpath={.items[0].metadata.name}")
    folder = f"/var/lib/{name}"
    here = [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": name,
            "local": {"path": folder},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": here}]}},
        },
    }
    image = manifest()["spec"]["template"]["spec"]["containers"][0]["image"]
    there = {"name": "it", "hostPath": {"path": folder, "type": "DirectoryOrCreate"}}
    mounts = [{"name": "it", "mountPath": "/it"}]
    container = {"name": "it", "image": image, "command": ["true"], "volumeMounts": mounts}
    spec = {
        "nodeName": node,
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [there],
    }
    maker = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "maker"}, "spec": spec}

    def make():
        create(tools, maker)
        succeeded = ("--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
        tools.ask("kubectl", "wait", "pod/maker", *succeeded, timeout_s=70)
        create(tools, volume)

    yield make
    tools.ask("kubectl", "delete", "pv", name, "--ignore-not-found", "--wait=false")


def test_a_volume_that_is_refused_or_not_there_is_told_and_keeps_the_stores_data(
    run, manifest, tools, volume
):
    tools.ask("kubectl", "create", "quota", "none", "--hard=persistentvolumeclaims=0")
    storage = {"size": "1Gi", "storageClassName": namespace_of(tools)}
    one = {"minReplicas": 1, "replicas": 1}
    job = run(manifest(ticking=True, rendezvous={"etcd": {"storage": storage}}, **one))
    claim = "data-digits-rdzv-0"
    refused = f"the API server refuses the rendezvous store's volume claim {claim}: "
    known = job.wait("a refusal", lambda known: progressing(known)[1].startswith(refused))
    assert "exceeded quota: none, requested: persistentvolumeclaims=1" in progressing(known)[1]

    tools.ask("kubectl", "delete", "quota", "none")
    where = f"`kubectl describe pvc {claim}` tells what its volume lacks"
    known = job.wait("a volume to be missed", lambda known: progressing(known)[1].endswith(where))
    assert progressing(known)[0] == "Unschedulable"
    assert known.condition("Progressing")["status"] == "False"
    tools.show("kubectl", "get", "elasticjobs,pods,pvc", "--output=wide")

    volume()
    job.wait("an epoch", lambda known: story.count_epochs(known, 1) >= 1, LIMIT_S)
    job.kill("digits-rdzv-0")
    job.wait("its loss to be seen", lambda known: not known.holds("RendezvousReady"))
    job.wait("the store to answer again", lambda known: known.holds("RendezvousReady"), LIMIT_S)
    assert "restarting local member" in tools.ask("kubectl", "logs", "digits-rdzv-0")
    known = job.finish()
    assert len(known.rounds) == 1, "no round was lost"
    job.delete()
    job.wait_until_nothing_remains()
