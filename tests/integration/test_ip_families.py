"""Clusters of both families of addresses, and of IPv6 alone: where a job's store is reached."""

import pytest

pytestmark = pytest.mark.usefixtures("operator")

FAMILIES = {"plane": ["IPv4", "IPv6"], "scheduling_plane": ["IPv6"]}
THREE = {"rendezvous": {"etcd": {"members": 3}}}
HOSTED = {"rendezvous": {"backend": "c10d"}}


@pytest.fixture(scope="module", params=FAMILIES)
def plane(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def families(request):
    """The families that the plane's services have addresses of."""
    return FAMILIES[request.node.callspec.params["plane"]]


def services(kubectl):
    return {one["metadata"]["name"]: one["spec"] for one in kubectl.get("services")}


def in_url(address):
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("spec", [THREE, HOSTED], ids=["etcd", "c10d"])
def test_what_stands_before_a_store_has_an_address_of_every_family(families, job, kubectl, spec):
    digits = job(**spec)
    digits.until(lambda: len(services(kubectl)) == 2, "its two services")
    for one in services(kubectl).values():
        assert one["ipFamilies"] == families
        assert one["clusterIPs"] == ["None"] or len(one["clusterIPs"]) == len(families)


@pytest.mark.parametrize(
    ("spec", "service", "port"),
    [({"rendezvous": {}}, "digits-rdzv", 2379), (HOSTED, "digits-rdzv-bridge", 29401)],
    ids=["etcd", "c10d"],
)
def test_the_operator_asks_a_store_at_its_services_address(job, kubectl, spec, service, port):
    digits = job(**spec)

    def told():
        return digits.condition("RendezvousReady")["message"]

    digits.until(lambda: service in services(kubectl), "its service")
    place = f"//{in_url(services(kubectl)[service]['clusterIP'])}:{port}"
    digits.until(lambda: place in told(), f"{place} to be asked in vain")
