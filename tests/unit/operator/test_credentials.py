"""Who is given which certificate of a job's own store."""

import json
from base64 import b64decode

import builders
import pytest
from cryptography import x509

from elasticjob_operator import pods, provisioning, rendezvous_spec
from elasticjob_operator.authority import Authority
from elasticjob_operator.provisioning import addresses, credentials
from elasticjob_operator.settings import Settings

SETTINGS = Settings(authority=Authority(b"s" * 32))
CONTAINER = {"name": "logs", "image": "l"}
THREE = {"etcd": {"members": 3}}
EXTERNAL = {"etcd": {"endpoints": ["http://etcd:2379"]}}


def secrets(job=None, settings=SETTINGS):
    made = provisioning.manifests(job or builders.a_job(), settings)
    return [manifest for manifest in made if manifest["kind"] == "Secret"]


def certificate(secret):
    return x509.load_pem_x509_certificate(b64decode(secret["data"]["tls.crt"]))


def store_pod(job, settings=SETTINGS):
    made = provisioning.manifests(job, settings)
    (store,) = (m for m in made if m["kind"] == "StatefulSet")
    return store["spec"]["template"]["spec"]


def worker(job=None, settings=SETTINGS):
    return pods.worker(job or builders.a_job(), 0, 0, settings)


def mounted(pod):
    """Return which containers see which Secret."""
    of_volume = {v["name"]: v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
    containers = [*pod.get("initContainers", ()), *pod["containers"]]
    return {
        container["name"]: of_volume[mount["name"]]
        for container in containers
        for mount in container.get("volumeMounts", ())
        if mount["name"] in of_volume
    }


def test_a_job_gets_two_secrets_that_are_made_once_and_go_with_it():
    store, workers = secrets()
    for secret in (store, workers):
        assert secret["immutable"] is True
        assert secret["metadata"]["ownerReferences"][0]["uid"] == builders.JOB_UID
        assert set(secret["data"]) == {"ca.crt", "tls.crt", "tls.key"}
    assert certificate(store).subject.rfc4514_string() == "CN=store"
    assert certificate(workers).subject.rfc4514_string() == "CN=worker"
    assert store["data"]["ca.crt"] == workers["data"]["ca.crt"]


def test_they_are_the_same_each_time():
    assert secrets() == secrets()


def test_another_job_of_this_name_or_another_operator_never_meets_them():
    again = builders.a_job()
    again = again.model_copy(update={"metadata": again.metadata.model_copy(update={"uid": "u"})})
    every = [
        *secrets(),
        *secrets(again),
        *secrets(settings=Settings(authority=Authority(b"t" * 32))),
    ]
    assert len({secret["metadata"]["name"] for secret in every}) == 6


@pytest.mark.parametrize("members", [1, 3])
def test_the_store_is_known_by_every_name_it_is_reached_by(members):
    job = builders.a_job(rendezvous={"etcd": {"members": members}})
    names = certificate(secrets(job)[0]).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    known = set(names.value.get_values_for_type(x509.DNSName))
    endpoint = addresses.worker_endpoint(job).removeprefix("etcds://")
    assert {host.rpartition(":")[0] for host in endpoint.split(";")} <= known
    assert addresses.store_host(job) in known


def test_each_sees_its_own_secret_and_nothing_else():
    store, workers = (secret["metadata"]["name"] for secret in secrets())
    template = {
        "spec": {
            "initContainers": [{"name": "prepare", "image": "p"}],
            "containers": [{"name": "trainer", "image": "t"}, CONTAINER],
        }
    }
    assert mounted(store_pod(builders.a_job())) == {"etcd": store}
    assert mounted(worker(builders.a_job(template=template))["spec"]) == {"trainer": workers}


def test_the_training_container_is_told_where_its_credentials_are():
    (trainer,) = worker()["spec"]["containers"]
    (folder,) = (e["value"] for e in trainer["env"] if e["name"] == "RDZV_CREDENTIALS")
    assert {"name": "rdzv-credentials", "mountPath": folder, "readOnly": True} in trainer[
        "volumeMounts"
    ]


def test_no_pod_holds_a_secret_itself():
    for pod in (store_pod(builders.a_job()), worker()):
        text = json.dumps(pod)
        for secret in secrets():
            assert not any(value in text for value in secret["data"].values())


def test_the_store_lets_in_nobody_without_a_certificate_of_this_job():
    for rendezvous in ({}, THREE):
        (etcd,) = store_pod(builders.a_job(rendezvous=rendezvous))["containers"]
        assert set(credentials.client_flags()) <= set(etcd["command"])
        plain = [flag for flag in etcd["command"] if "http://" in flag]
        assert plain == ["--listen-metrics-urls=http://0.0.0.0:2381"], "what probes ask"


def test_members_let_in_each_other_and_no_worker():
    (etcd,) = store_pod(builders.a_job(rendezvous=THREE))["containers"]
    assert {"--peer-client-cert-auth", "--peer-cert-allowed-cn=store"} <= set(etcd["command"])


def test_a_secret_of_the_users_is_mounted_into_the_training_container_alone():
    etcd = {"endpoints": ["https://etcd:2379"], "secret_ref": {"name": "etcd-login"}}
    template = {"spec": {"containers": [{"name": "trainer", "image": "t"}, CONTAINER]}}
    pod = worker(builders.a_job(rendezvous={"etcd": etcd}, template=template))["spec"]
    assert mounted(pod) == {"trainer": "etcd-login"}
    (volume,) = (v["secret"] for v in pod["volumes"] if "secret" in v)
    assert [item["path"] for item in volume["items"]] == list(rendezvous_spec.SECRET_KEYS)
    assert volume["optional"] is True, "which of the keys there are is the user's choice"


def test_an_external_store_is_not_ours_to_give_certificates_for():
    job = builders.a_job(rendezvous=EXTERNAL)
    assert secrets(job) == []
    assert mounted(worker(job)["spec"]) == {}
    assert addresses.worker_endpoint(job) == "etcd://etcd:2379"
