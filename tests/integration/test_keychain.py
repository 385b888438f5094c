"""The operator's own secret is made once, and read ever after."""

import asyncio
import json

import pytest

from elasticjob_operator import cluster, keychain

NAME = "elasticjob-operator-key"


@pytest.fixture
async def connected(kubectl, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    connected = await cluster.connect()
    yield connected
    await connected.close()


async def test_the_first_operator_makes_it_and_the_next_one_reads_it(connected, kubectl):
    where = f"{kubectl.namespace}/{NAME}"
    first = await keychain.load(connected, where)
    assert await keychain.load(connected, where) == first
    assert kubectl.get("secret", NAME)["immutable"] is True


async def test_operators_that_start_together_have_the_same(connected, kubectl):
    where = f"{kubectl.namespace}/{NAME}"
    found = await asyncio.gather(*(keychain.load(connected, where) for _ in range(5)))
    assert len(set(found)) == 1


async def test_another_secret_of_this_name_is_left_alone_and_told(connected, kubectl):
    theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}}
    kubectl.create({**theirs, "stringData": {"seed": "short"}})
    with pytest.raises(keychain.KeychainError, match=r"no key 'seed' of 32 bytes\. Delete it"):
        await keychain.load(connected, f"{kubectl.namespace}/{NAME}")


async def test_a_namespace_that_is_not_there_is_told(connected):
    with pytest.raises(cluster.Refused, match="nowhere"):
        await keychain.load(connected, f"nowhere/{NAME}")


def test_the_operator_makes_each_jobs_secrets_and_shows_none_of_them(operator, kubectl, job):
    digits = job(rendezvous={})
    digits.until(lambda: "digits-rdzv" in kubectl.names("statefulsets"), "the store")
    made = [
        secret
        for secret in kubectl.get("secrets")
        if secret["metadata"].get("labels", {}).get("rdzv.dev/job") == "digits"
    ]
    assert {secret["metadata"]["labels"]["rdzv.dev/role"] for secret in made} == {"store", "worker"}
    shown = operator.log + json.dumps(digits.status) + json.dumps(kubectl.get("statefulsets"))
    for secret in [*made, kubectl.get("secret", NAME)]:
        assert not any(value in shown for value in secret["data"].values())


def test_a_secret_that_was_deleted_comes_back_the_same(operator, kubectl, job):
    digits = job(rendezvous={})
    digits.until(lambda: "digits-rdzv" in kubectl.names("statefulsets"), "the store")
    before = {s["metadata"]["name"]: s["data"] for s in kubectl.get("secrets")}
    operator.kill()
    kubectl("delete", "secrets", "--selector=rdzv.dev/job=digits")
    operator.start()

    def there():
        return {s["metadata"]["name"]: s["data"] for s in kubectl.get("secrets")} == before

    digits.until(there, "the same Secrets")


def test_an_operator_that_lost_its_secret_gives_each_job_others(operator, kubectl, job):
    digits = job(rendezvous={})
    digits.until(lambda: "digits-rdzv" in kubectl.names("statefulsets"), "the store")

    def mounted():
        store = kubectl.get("statefulset", "digits-rdzv")["spec"]["template"]["spec"]
        return {v["secret"]["secretName"] for v in store["volumes"] if "secret" in v}

    before = mounted()
    operator.kill()
    kubectl("delete", "secret", NAME)
    operator.start()
    digits.until(lambda: mounted().isdisjoint(before), "a store that mounts another Secret")
    assert mounted() < set(kubectl.names("secrets"))
