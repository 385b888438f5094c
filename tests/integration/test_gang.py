"""Gangs: placed by Kubernetes' own scheduler, and declared in the words of the other ones."""

import json

import pytest
from paper_nodes import template

pytestmark = pytest.mark.usefixtures("operator")

INTEGER = {"type": "integer", "format": "int32"}
TEXT = {"type": "string"}
QUANTITIES = {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}}


@pytest.fixture(scope="module")
def plane(scheduling_plane):
    return scheduling_plane


def placed(kubectl):
    pods = kubectl.get("pods")
    return sorted(pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName"))


def test_enough_workers_for_a_round_find_nodes_together_or_none_does(job, kubectl, nodes):
    nodes.add(slots=1)
    digits = job(replicas=3, template=template(), gangScheduling={"scheduler": "Kubernetes"})
    digits.until_pods("digits-0-0", "digits-1-0", "digits-2-0")
    words = "3 of 3 pods find no node, at least 2 must run: "
    digits.until(
        lambda: digits.condition("Progressing")["message"].startswith(words), "all to find none"
    )
    assert placed(kubectl) == [], "one would fit, and two are needed"
    nodes.add(slots=1)
    digits.until(lambda: len(placed(kubectl)) == 2, "two to find nodes together")
    digits.until(lambda: digits.settings().expected_nodes == 2, "two to be expected")


def test_the_groups_minimum_follows_the_jobs(job, kubectl):
    digits = job(gangScheduling={"scheduler": "Kubernetes"})
    digits.until(lambda: kubectl.get("podgroup", "digits"), "the group")
    patch = json.dumps({"spec": {"minReplicas": 1}})
    kubectl("patch", "ej", "digits", "--type=merge", f"--patch={patch}")

    def least():
        policy = kubectl.get("podgroup", "digits")["spec"]["schedulingPolicy"]
        return policy["gang"]["minCount"]

    digits.until(lambda: least() == 1, "the group's minimum to be the job's")


# --- the PodGroups of other schedulers -----------------------------------------------------------


def definition(group, version, **spec):
    """Return a PodGroup's definition with these fields in its spec; others are refused."""
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": spec}},
    }
    served = {"name": version, "served": True, "storage": True}
    approved = {"api-approved.kubernetes.io": "unapproved, for tests"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"podgroups.{group}", "annotations": approved},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "PodGroup", "listKind": "PodGroupList", "plural": "podgroups"},
            "versions": [{**served, "schema": {"openAPIV3Schema": schema}}],
        },
    }


COSCHEDULING = definition(
    "scheduling.x-k8s.io",
    "v1alpha1",
    minMember=INTEGER,
    minResources=QUANTITIES,
    scheduleTimeoutSeconds=INTEGER,
)
VOLCANO = definition(
    "scheduling.volcano.sh",
    "v1beta1",
    minMember=INTEGER,
    minResources=QUANTITIES,
    minTaskMember={"type": "object", "additionalProperties": INTEGER},
    priorityClassName=TEXT,
    queue=TEXT,
)


@pytest.mark.parametrize(
    ("scheduler", "made"), [("Coscheduling", COSCHEDULING), ("Volcano", VOLCANO)]
)
def test_a_scheduler_that_is_not_installed_is_told_and_the_job_goes_on_when_it_is(
    job, kubectl, scheduler, made
):
    digits = job(gangScheduling={"scheduler": scheduler})
    told = digits.until_condition("Progressing", "ObjectRefused", "False")
    group, version = made["spec"]["group"], made["spec"]["versions"][0]["name"]
    assert told["message"] == (
        f"gangScheduling.scheduler is {scheduler}, but the cluster does not serve PodGroup of"
        f" {group}/{version}: is it installed?"
    )
    assert digits.pods() == []
    kubectl.create(made)
    try:
        digits.until_pods("digits-0-0", "digits-1-0")
        found = kubectl.get(f"podgroups.{group}", "digits")
        assert found["spec"]["minMember"] == 2
        (owner,) = found["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("ElasticJob", "digits")
    finally:
        kubectl("delete", "crd", made["metadata"]["name"])
