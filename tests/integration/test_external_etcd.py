"""A job that meets in an etcd of the user's, with credentials out of a Secret."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from etcd_server import Etcd

from elasticjob_operator import authority
from localcluster import binaries
from rdzv_client.etcdv3 import Client, TlsFiles

AUTHORITY, NOW = authority.new(), datetime.now(UTC)
CHART = Path(__file__).parents[2] / "charts" / "elasticjob"
KEY = "elasticjob-operator-key"
SECRET, PASSWORD = "etcd-login", "r00t-p4ssword"


@pytest.fixture
def guarded(etcd):
    """An etcd that asks for a password."""
    etcd.call("/v3/auth/user/add", {"name": "root", "password": PASSWORD})
    etcd.call("/v3/auth/user/grant", {"user": "root", "role": "root"})
    etcd.call("/v3/auth/enable", {})
    return etcd


@pytest.fixture
def digits(guarded, job_in):
    """A job that meets there."""
    with Client([guarded.url], user="root", password=PASSWORD) as client:
        etcd = {"endpoints": [guarded.url], "secretRef": {"name": SECRET}}
        yield job_in(client, rendezvous={"etcd": etcd})


def put_secret(kubectl, **content):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}}
    manifest = json.dumps({**secret, "stringData": content})
    kubectl("replace", "--force", "--filename=-", given=manifest)


def test_a_job_runs_with_it_once_it_is_there_and_right(operator, kubectl, digits):
    told = digits.until_condition("Progressing", "CredentialsUnusable", "False")
    where = f"the Secret {kubectl.namespace}/{SECRET} of rendezvous.etcd.secretRef"
    assert told["message"] == f"{where} is not there"
    put_secret(kubectl, username="root")
    words = f"{where} has username and no password: they belong together"
    digits.until(lambda: digits.condition("RendezvousReady")["message"] == words, words)
    put_secret(kubectl, username="root", password="wr0ng-p4ssword")
    digits.until_condition("RendezvousReady", "StoreUnreachable", "False")
    put_secret(kubectl, username="root", password=PASSWORD)
    digits.start()
    shown = operator.log + json.dumps(digits.status) + json.dumps(kubectl.get("pods"))
    assert "p4ssword" not in shown + json.dumps(digits.events())
    kubectl("delete", "secret", SECRET)
    digits.leave("digits-1-0", "failed")
    digits.form(2, "digits-0-0")
    digits.until(lambda: digits.status["rendezvous"]["round"] == 2, "what is let in stays in")


# --- with certificates ---------------------------------------------------------------------------


@pytest.fixture
def pair():
    """Return what a client shows to the etcd below."""
    return AUTHORITY.worker("etcd", NOW)


@pytest.fixture
def secure(tmp_path, pair):
    """An etcd that asks for certificates, and the files of a client."""
    (folder := tmp_path / "etcd").mkdir()
    own = AUTHORITY.store("etcd", NOW, ("127.0.0.1",))
    files = {"own.crt": own.certificate, "own.key": own.key, "ca.crt": own.authority}
    files |= {"tls.crt": pair.certificate, "tls.key": pair.key}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    flags = [f"--cert-file={folder}/own.crt", f"--key-file={folder}/own.key"]
    flags += [f"--trusted-ca-file={folder}/ca.crt", "--client-cert-auth"]
    tls = TlsFiles(*(folder / name for name in ("ca.crt", "tls.crt", "tls.key")))
    etcd = Etcd(folder, flags=flags, tls=tls).start()
    yield etcd
    etcd.kill()


def test_a_job_meets_in_an_etcd_that_asks_for_certificates(operator, kubectl, job_in, secure, pair):
    etcd = {"endpoints": [secure.url], "secretRef": {"name": SECRET}}
    content = {"ca.crt": pair.authority, "tls.crt": pair.certificate, "tls.key": pair.key}
    put_secret(kubectl, **{key: text.decode() for key, text in content.items()})
    with Client([secure.url], tls=secure.tls) as client:
        digits = job_in(client, rendezvous={"etcd": etcd})
        digits.start()
        assert digits.status["rendezvous"]["endpoint"] == f"etcds://127.0.0.1:{secure.port}"
        trainer = kubectl.get("pod", "digits-0-0")["spec"]["containers"][0]
        assert "rdzv-credentials" in {mount["name"] for mount in trainer["volumeMounts"]}


# --- with the rights that the chart gives --------------------------------------------------------


def give_rights(kubectl, group, *settings):
    """Give a group the rights that the chart gives to the operator of one namespace."""
    namespace = kubectl.namespace
    helm = binaries.ensure(["helm"])["helm"]
    values = [f"--set={setting}" for setting in (f"operator.watchNamespace={namespace}", *settings)]
    release = ("elasticjob", str(CHART), f"--namespace={namespace}", "--kube-version=1.37.0")
    done = subprocess.run(
        [helm, "template", *release, *values], text=True, capture_output=True, check=True
    )
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}
    for document in yaml.safe_load_all(done.stdout):
        if document and document["kind"] == "RoleBinding":
            document["subjects"] = [subject]
        if document and document["kind"] in {"Role", "RoleBinding"}:
            kubectl("apply", "--filename=-", given=json.dumps(document))


def test_the_charts_rights_are_enough_and_reading_secrets_is_asked_for(operators, kubectl, digits):
    put_secret(kubectl, username="root", password=PASSWORD)
    group = f"operators-of-{kubectl.namespace}"
    give_rights(kubectl, group)
    operators(groups=[group])
    told = digits.until_condition("Progressing", "CredentialsUnusable", "False")
    assert "may not read the Secret" in told["message"]
    assert told["message"].endswith("its chart needs rbac.readSecrets=true")
    give_rights(kubectl, group, "rbac.readSecrets=true")
    digits.start()


def test_a_job_with_its_own_etcd_needs_no_right_to_read_secrets(operators, kubectl, job):
    group = f"operators-of-{kubectl.namespace}"
    give_rights(kubectl, group)
    operator = operators(groups=[group])
    own = job(rendezvous={})
    own.until(lambda: "digits-rdzv" in kubectl.names("statefulsets"), "the store")
    made = [name for name in kubectl.names("secrets") if name.startswith("digits-")]
    assert len(made) == 2
    calls = [call for call in operator.calls() if call.what == "secrets"]
    assert {call.verb for call in calls} == {"create", "get"}
    assert {call.name for call in calls if call.verb == "get"} == {KEY}
