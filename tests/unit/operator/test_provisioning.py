"""What is made for a job besides its workers."""

import builders
import pytest

from elasticjob_operator import pods, provisioning
from elasticjob_operator.provisioning import addresses, etcd
from elasticjob_operator.settings import Settings

SETTINGS = Settings(etcd_image="etcd:1")
INSIDE = Settings(operator_namespace="system")
THREE = {"etcd": {"members": 3}}
ON_DISK = {"members": 3, "storage": {"size": "1Gi", "storage_class_name": "fast"}}


def manifests(job):
    return {m["kind"]: m for m in provisioning.manifests(job, SETTINGS)}


def test_a_job_gets_an_account_a_service_and_an_etcd_of_its_own():
    made = manifests(builders.a_job())
    assert list(made) == ["ServiceAccount", "Secret", "Service", "StatefulSet"]
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
    assert addresses.store_urls(job) == ("https://digits-rdzv.ml.svc:2379",)
    assert addresses.store_urls(job, "10.0.0.9") == ("https://10.0.0.9:2379",)
    assert addresses.store_urls(job, "fd00::9") == ("https://[fd00::9]:2379",)


@pytest.mark.parametrize("rendezvous", [{"etcd": {"members": 3}}, {"backend": "c10d"}], ids=str)
def test_the_stores_services_have_addresses_of_both_families_where_there_are_two(rendezvous):
    job = builders.a_job(rendezvous=rendezvous)
    made = provisioning.manifests(job, SETTINGS)
    services = [manifest for manifest in made if manifest["kind"] == "Service"]
    assert {service["spec"]["ipFamilyPolicy"] for service in services} == {"PreferDualStack"}


def test_an_external_etcd_may_have_an_ipv6_address():
    job = builders.a_job(rendezvous={"etcd": {"endpoints": ["http://[fd00::9]:2379"]}})
    assert addresses.worker_endpoint(job) == "etcd://[fd00::9]:2379"


def test_an_etcd_that_lost_its_data_is_another_cluster():
    stateful_set = next(
        one
        for one in provisioning.manifests(builders.a_job(), SETTINGS)
        if one["kind"] == "StatefulSet"
    )
    etcd = stateful_set["spec"]["template"]["spec"]["containers"][0]
    assert "--initial-cluster-token=$(POD_UID)" in etcd["command"]
    assert etcd["env"][0]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.uid"}}


# --- three members -----------------------------------------------------------------------------


def three(**settings):
    job = builders.a_job(rendezvous={"etcd": {"members": 3, **settings}})
    return {
        (m["kind"], m["metadata"]["name"]): m["spec"]
        for m in provisioning.manifests(job, SETTINGS)
        if "spec" in m
    }


def command(stateful_set):
    return stateful_set["template"]["spec"]["containers"][0]["command"]


def test_three_members_find_each_other_before_they_are_ready_and_start_together():
    made = three()
    peers = made["Service", "digits-rdzv-peers"]
    assert (peers["clusterIP"], peers["publishNotReadyAddresses"]) == ("None", True)
    store = made["StatefulSet", "digits-rdzv"]
    assert (store["replicas"], store["serviceName"]) == (3, "digits-rdzv-peers")
    assert store["podManagementPolicy"] == "Parallel"
    hosts = [f"digits-rdzv-{i}.digits-rdzv-peers.ml.svc" for i in range(3)]
    cluster = ",".join(f"digits-rdzv-{i}=https://{host}:2380" for i, host in enumerate(hosts))
    assert f"--initial-cluster={cluster}" in command(store)


def test_at_most_one_of_three_members_is_taken_away_on_purpose():
    budget = three()["PodDisruptionBudget", "digits-rdzv"]
    assert budget["maxUnavailable"] == 1
    # A member that has lost its leader is not ready for a moment, and must not be the second to go.
    assert budget["unhealthyPodEvictionPolicy"] == "IfHealthyBudget"
    assert ("PodDisruptionBudget", "digits-rdzv") not in manifests(builders.a_job())


def test_the_members_are_kept_apart_where_that_is_possible_first_by_node():
    spec = three()["StatefulSet", "digits-rdzv"]["template"]["spec"]
    terms = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    weights = {term["podAffinityTerm"]["topologyKey"]: term["weight"] for term in terms}
    assert weights["kubernetes.io/hostname"] > weights["topology.kubernetes.io/zone"]
    # A constraint over a key that no node has, such as the zone, would undo the others.
    assert "topologySpreadConstraints" not in spec


def test_one_that_waits_for_the_others_is_alive_though_not_ready():
    container = three()["StatefulSet", "digits-rdzv"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    # The port for clients is silent until there is a quorum.
    assert f"--listen-metrics-urls=http://0.0.0.0:{ports['health']}" in container["command"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}


def test_each_worker_knows_all_members_and_begins_with_another():
    job = builders.a_job(rendezvous=THREE)
    members = [f"digits-rdzv-{i}.digits-rdzv-peers.ml.svc:2379" for i in range(3)]

    def endpoint(index):
        pod = pods.worker(job, index, 0, SETTINGS)
        (found,) = (
            entry["value"]
            for entry in pod["spec"]["containers"][0]["env"]
            if entry["name"] == "PET_RDZV_ENDPOINT"
        )
        return found.removeprefix("etcds://").split(";")

    assert endpoint(0) == members
    assert endpoint(4) == [members[1], members[2], members[0]]


def test_the_operator_asks_the_service_first_and_then_each_member():
    urls = addresses.store_urls(builders.a_job(rendezvous=THREE), "10.0.0.9")
    assert urls[0] == "https://10.0.0.9:2379"
    assert len(urls) == 4


def test_volumes_are_claimed_where_they_are_wanted_and_go_with_the_store():
    store = three(**ON_DISK)["StatefulSet", "digits-rdzv"]
    assert store["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"
    (claim,) = store["volumeClaimTemplates"]
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "fast",
    }
    assert [v["name"] for v in store["template"]["spec"]["volumes"]] == ["rdzv-credentials"]
    assert "--unsafe-no-fsync" not in command(store)
    assert "volumeClaimTemplates" not in three()["StatefulSet", "digits-rdzv"]


@pytest.mark.parametrize("members", [1, 3])
def test_all_that_is_made_of_a_store_can_be_named_to_take_it_down(members):
    job = builders.a_job(rendezvous={"etcd": {"members": members}})
    made = {
        (m["apiVersion"], m["kind"], m["metadata"]["name"]) for m in etcd.manifests(job, SETTINGS)
    }
    assert set(etcd.references(job)) == made
    assert etcd.references(job)[-1] == etcd.pods_owner(job)


# --- network policies --------------------------------------------------------------------------


def policies(settings=INSIDE, **spec):
    return {
        m["metadata"]["name"]: m["spec"]
        for m in provisioning.manifests(builders.a_job(**spec), settings)
        if m["kind"] == "NetworkPolicy"
    }


def pods_of(role):
    selector = {"matchLabels": {"rdzv.dev/job": "digits", "rdzv.dev/role": role}}
    return {"podSelector": selector}


def test_the_store_is_open_to_the_jobs_workers_and_the_operator_alone():
    store = policies()["digits-rdzv"]
    assert {"podSelector": store["podSelector"]} == pods_of("store")
    operator = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "system"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "elasticjob-operator"}},
    }
    assert store["ingress"] == [
        {"from": [pods_of("worker"), operator], "ports": [{"port": 2379, "protocol": "TCP"}]},
        {"from": [pods_of("store")], "ports": [{"port": 2380, "protocol": "TCP"}]},
    ]


def test_the_store_reaches_its_members_and_names_and_nothing_else():
    peers, names = policies()["digits-rdzv"]["egress"]
    assert peers == {"to": [pods_of("store")], "ports": [{"port": 2380, "protocol": "TCP"}]}
    assert "to" not in names
    assert {(port["port"], port["protocol"]) for port in names["ports"]} >= {
        (53, "UDP"),
        (53, "TCP"),
    }


def test_workers_are_open_to_each_other_and_reach_what_they_like():
    workers = policies()["digits-worker"]
    assert {"podSelector": workers["podSelector"]} == pods_of("worker")
    assert workers["policyTypes"] == ["Ingress"]
    assert workers["ingress"] == [{"from": [pods_of("worker")]}]


def test_beside_an_external_store_only_the_workers_have_a_policy():
    external = {"etcd": {"endpoints": ["http://etcd:2379"]}}
    assert list(policies(rendezvous=external)) == ["digits-worker"]


def test_there_are_no_policies_where_they_are_not_wanted_or_would_shut_the_operator_out():
    assert policies(network_policy="None") == {}
    assert policies(settings=SETTINGS) == {}
