"""The host of a job's TCPStore: what it runs, who may reach it, by what it knows the operator."""

from base64 import b64decode

import builders
import pytest

from elasticjob_operator import pods, provisioning
from elasticjob_operator.authority import Authority
from elasticjob_operator.provisioning import addresses, c10d, credentials
from elasticjob_operator.settings import Settings

SETTINGS = Settings(
    client_image="client:1", authority=Authority(b"s" * 32), operator_namespace="system"
)
IMAGE = {"name": "trainer", "image": "trainer:1"}


def a_job(template=None, **spec):
    wanted = {"spec": {"containers": [IMAGE], **(template or {})}}
    return builders.a_job(template=wanted, rendezvous={"backend": "c10d"}, **spec)


def made(job):
    return {(m["kind"], m["metadata"]["name"]): m for m in provisioning.manifests(job, SETTINGS)}


def host(job):
    return made(job)["StatefulSet", "digits-rdzv"]["spec"]["template"]["spec"]


def environment(container):
    return {entry["name"]: entry.get("value") for entry in container["env"]}


def test_the_workers_meet_at_the_store_and_the_operator_goes_to_the_bridge():
    job = a_job()
    assert addresses.worker_endpoint(job) == "c10d://digits-rdzv.ml.svc:29400"
    assert addresses.bridge_url(job) == "http://digits-rdzv-bridge.ml.svc:29401"
    assert addresses.bridge_url(job, "10.0.0.9") == "http://10.0.0.9:29401"
    assert addresses.bridge_url(job, "fd00::9") == "http://[fd00::9]:29401"
    worker = pods.worker(job, 0, 0, SETTINGS)["spec"]["containers"][0]
    assert environment(worker)["PET_RDZV_ENDPOINT"] == "c10d://digits-rdzv.ml.svc:29400"


def test_the_operator_comes_before_the_host_is_ready_and_the_workers_after():
    objects = made(a_job())
    store, bridge = (objects["Service", f"digits-rdzv{end}"]["spec"] for end in ("", "-bridge"))
    assert bridge["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in store
    assert store["ports"] == [{"name": "store", "port": 29400, "targetPort": "store"}]
    probe = host(a_job())["containers"][0]["readinessProbe"]["httpGet"]
    assert probe == {"path": "/readyz", "port": "bridge"}


def test_the_host_runs_the_training_image_with_the_client_beside_it():
    pod = host(a_job())
    (container,) = pod["containers"]
    assert container["image"] == "trainer:1"
    assert container["command"][:3] == ["python3", "-m", "rdzv_client.c10d_host"]
    assert environment(container)["PYTHONPATH"] == "/rdzv_client.d"
    assert [init["image"] for init in pod["initContainers"]] == ["client:1"]


def test_a_running_job_keeps_its_client_and_one_that_has_it_gets_none():
    status = builders.a_job().status.model_copy(update={"client_image": "client:0"})
    assert host(a_job(status=status))["initContainers"][0]["image"] == "client:0"
    pod = host(a_job(client_injection="None"))
    assert "initContainers" not in pod
    assert "PYTHONPATH" not in environment(pod["containers"][0])


def test_of_several_containers_the_training_container_is_meant():
    job = a_job(
        {"containers": [{"name": "log", "image": "log:1"}, IMAGE]}, training_container="trainer"
    )
    assert host(job)["containers"][0]["image"] == "trainer:1"


def test_it_runs_where_the_image_is_to_be_had_and_takes_no_more_from_the_template():
    training = {
        **IMAGE,
        "env": [{"name": "PYTHONPATH", "value": "/code"}, {"name": "API_KEY", "value": "secret"}],
        "imagePullPolicy": "Always",
        "resources": {"limits": {"nvidia.com/gpu": "8"}},
    }
    template = {
        "containers": [training],
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"kubernetes.io/arch": "arm64"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "hostNetwork": True,
    }
    pod = host(a_job(template))
    (container,) = pod["containers"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["nodeSelector"] == {"kubernetes.io/arch": "arm64"}
    assert {"key": "gpu", "operator": "Exists"} in pod["tolerations"]
    assert container["imagePullPolicy"] == "Always"
    assert environment(container)["PYTHONPATH"] == "/rdzv_client.d:$(RDZV_TEMPLATE_PYTHONPATH)"
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert "API_KEY" not in environment(container)
    assert "hostNetwork" not in pod


def test_it_passes_the_strictest_pod_security_and_has_no_account():
    pod = host(a_job())
    for container in (*pod["containers"], *pod["initContainers"]):
        assert container["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["automountServiceAccountToken"] is False


def test_the_token_is_in_a_secret_that_the_host_alone_is_given():
    job = a_job()
    (secret,) = (m for (kind, _), m in made(job).items() if kind == "Secret")
    token = credentials.token_of_operator(job, SETTINGS)
    assert b64decode(secret["data"]["token"]).decode() == token
    assert secret["immutable"] is True
    name = secret["metadata"]["name"]
    assert name in str(host(job))
    assert name not in str(pods.worker(job, 0, 0, SETTINGS))
    assert token not in str([m for (kind, _), m in made(job).items() if kind != "Secret"])
    assert f"--token-file={c10d.TOKEN_FILE}" in host(job)["containers"][0]["command"]


def test_another_job_and_another_operator_have_other_tokens():
    job = a_job()
    other = job.model_copy(update={"metadata": job.metadata.model_copy(update={"uid": "other"})})
    stranger = Settings(authority=Authority(b"t" * 32))
    tokens = [
        credentials.token_of_operator(job, SETTINGS),
        credentials.token_of_operator(other, SETTINGS),
        credentials.token_of_operator(job, stranger),
    ]
    assert len(set(tokens)) == 3
    assert all(len(token) >= 32 for token in tokens)


@pytest.mark.parametrize(("role", "port"), [("worker", 29400), ("operator", 29401)])
def test_who_may_reach_what(role, port):
    ingress = made(a_job())["NetworkPolicy", "digits-rdzv"]["spec"]["ingress"]
    (opened,) = (rule for rule in ingress if rule["ports"] == [{"port": port, "protocol": "TCP"}])
    (source,) = opened["from"]
    assert role in str(source)
    assert len(ingress) == 2


def test_all_that_is_made_of_it_can_be_named_to_take_it_down():
    job = a_job()
    kept = {"Secret"}  # goes with the job: it is the same one when the job is resumed
    there = {
        (m["apiVersion"], m["kind"], m["metadata"]["name"])
        for m in c10d.manifests(job, SETTINGS)
        if m["kind"] not in kept
    }
    assert set(provisioning.store_references(job)) == there
    assert provisioning.store_references(job)[-1] == ("apps/v1", "StatefulSet", "digits-rdzv")


def test_a_new_release_does_not_restart_the_hosts_of_running_jobs():
    stateful_set = made(a_job())["StatefulSet", "digits-rdzv"]["spec"]
    assert stateful_set["updateStrategy"] == {"type": "OnDelete"}
