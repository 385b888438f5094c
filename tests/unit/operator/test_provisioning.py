"""What is made for a job besides its workers."""

import builders

from elasticjob_operator import provisioning
from elasticjob_operator.provisioning import addresses
from elasticjob_operator.settings import Settings

SETTINGS = Settings(etcd_image="etcd:1")


def manifests(job):
    return {m["kind"]: m for m in provisioning.manifests(job, SETTINGS)}


def test_a_job_gets_an_account_a_service_and_an_etcd_of_its_own():
    made = manifests(builders.a_job())
    assert list(made) == ["ServiceAccount", "Service", "StatefulSet"]
    assert {m["metadata"]["ownerReferences"][0]["uid"] for m in made.values()} == {builders.JOB_UID}


def test_the_service_finds_the_store_and_not_the_workers():
    made = manifests(builders.a_job())
    selector = made["Service"]["spec"]["selector"].items()
    assert selector <= made["StatefulSet"]["spec"]["template"]["metadata"]["labels"].items()
    assert ("rdzv.dev/role", "store") in selector


def test_the_store_passes_the_strictest_pod_security():
    pod = manifests(builders.a_job())["StatefulSet"]["spec"]["template"]["spec"]
    context = pod["containers"][0]["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False


def test_a_new_release_does_not_restart_the_stores_of_running_jobs():
    stateful_set = manifests(builders.a_job())["StatefulSet"]
    assert stateful_set["spec"]["updateStrategy"] == {"type": "OnDelete"}


def test_no_store_is_made_beside_an_external_one():
    job = builders.a_job(rendezvous={"etcd": {"endpoints": ["http://etcd:2379"]}})
    assert list(manifests(job)) == ["ServiceAccount"]
    assert addresses.store_urls(job, "10.0.0.9") == ("http://etcd:2379",)


def test_the_operator_asks_the_services_address_once_it_is_known():
    job = builders.a_job()
    assert addresses.store_urls(job) == ("http://digits-rdzv.ml.svc:2379",)
    assert addresses.store_urls(job, "10.0.0.9") == ("http://10.0.0.9:2379",)
    assert addresses.store_urls(job, "fd00::9") == ("http://[fd00::9]:2379",)


def test_an_etcd_that_lost_its_data_is_another_cluster():
    stateful_set = next(
        one
        for one in provisioning.manifests(builders.a_job(), SETTINGS)
        if one["kind"] == "StatefulSet"
    )
    etcd = stateful_set["spec"]["template"]["spec"]["containers"][0]
    assert "--initial-cluster-token=$(POD_UID)" in etcd["command"]
    assert etcd["env"][0]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.uid"}}
