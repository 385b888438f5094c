"""Pods that the API server does not take: each is told in its words, and tried again."""

import json

import pytest
from paper_nodes import template

pytestmark = pytest.mark.usefixtures("operator")

PODS = ["digits-0-0", "digits-1-0", "digits-2-0"]
REFUSES = "the API server refuses the pod"


def test_a_job_runs_with_the_pods_that_a_quota_allows_and_the_others_join_when_it_grows(
    job, kubectl
):
    kubectl("create", "quota", "few", "--hard=pods=2")
    digits = job(replicas=3)
    digits.until(lambda: len(digits.pods()) == 2, "two pods")
    first = digits.pods()
    (refused,) = set(PODS) - set(first)
    digits.run(*first)
    digits.join(*first)
    digits.form(1, *first)
    digits.until_condition("Ready", "RoundFormed")
    told = digits.until_condition("Progressing", "ObjectRefused")
    assert told["message"].startswith("round 1 stands with 2 workers; 2 of 3 pods are there: ")
    assert f"{REFUSES} {refused}: " in told["message"]
    assert (
        "exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2" in (told["message"])
    )
    assert digits.settings().expected_nodes == 2, "nobody waits for it"
    assert digits.settings().scheduling, "nobody gives up for the lack of it"
    more = json.dumps({"spec": {"hard": {"pods": "3"}}})
    kubectl("patch", "quota", "few", "--type=merge", f"--patch={more}")
    digits.until_pods(*PODS)
    digits.until(lambda: digits.settings().expected_nodes == 3, "three to be expected")


STORES = {
    "etcd": {},
    "disks": {"etcd": {"members": 3, "storage": {"size": "1Gi"}}},
    "host": {"backend": "c10d"},
}


def test_a_stores_pod_beyond_a_quota_is_told_and_made_when_there_is_room(job, kubectl):
    """A StatefulSet's controller tells nobody, and then waits for as long as it has waited."""
    kubectl("create", "quota", "none", "--hard=pods=0")
    jobs = [job(name, rendezvous=rendezvous) for name, rendezvous in STORES.items()]
    for one in jobs:
        words = one.until_condition("Progressing", "ObjectRefused", "False")["message"]
        pod = f"{one.name}-rdzv-0"
        assert words.startswith(f"the API server refuses the rendezvous store's pod {pod}: ")
        assert words.endswith(
            "exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0"
        )
    kubectl("delete", "quota", "none")
    for one in jobs:
        one.until(lambda one=one: f"{one.name}-rdzv-0" in one.pods(), "the store's pod")


def test_a_stores_volume_beyond_a_quota_is_told_and_claimed_when_there_is_room(job, kubectl):
    kubectl("create", "quota", "none", "--hard=persistentvolumeclaims=0")
    disk = {"etcd": {"storage": {"size": "1Gi"}}}
    digits = job(rendezvous=disk)
    words = digits.until_condition("Progressing", "ObjectRefused", "False")["message"]
    claim = "data-digits-rdzv-0"
    assert words.startswith(f"the API server refuses the rendezvous store's volume claim {claim}: ")
    assert "exceeded quota: none, requested: persistentvolumeclaims=1" in words
    kubectl("delete", "quota", "none")
    digits.until(lambda: "digits-rdzv-0" in digits.pods(), "the store's pod")
    assert kubectl.names("pvc") == [claim]


LIMITS = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "small"},
    "spec": {"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]},
}


def test_pods_against_a_limit_are_told_and_made_when_it_is_gone(job, kubectl):
    kubectl.create(LIMITS)
    large = template()
    large["spec"]["containers"][0]["resources"] = {"limits": {"memory": "2Gi"}}
    digits = job(template=large, clientInjection="None")
    told = digits.until_condition("Progressing", "ObjectRefused", "False")
    assert told["message"].startswith(f"0 of 2 pods are there, at least 2 must run: {REFUSES} ")
    assert "maximum memory usage per Container is 1Gi, but limit is 2Gi" in told["message"]
    kubectl("delete", "limitrange", "small")
    digits.until_pods(*PODS[:2])


@pytest.fixture
def webhook(kubectl):
    """An admission webhook for this namespace's pods, at an address where nobody listens."""
    name = kubectl.namespace
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    kubectl.create(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": "nobody.example.com",
                    "clientConfig": {"url": "https://127.0.0.1:1/"},
                    "rules": [{**rule, "resources": ["pods"]}],
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                }
            ],
        }
    )
    delete = ("delete", "validatingwebhookconfiguration", name, "--ignore-not-found")
    yield lambda: kubectl(*delete)
    kubectl(*delete)


def test_a_webhook_that_does_not_answer_is_told_and_the_job_goes_on_without_it(job, webhook):
    digits = job()
    told = digits.until_condition("Progressing", "ObjectRefused", "False")
    assert 'failed calling webhook "nobody.example.com"' in told["message"]
    webhook()
    digits.until_pods(*PODS[:2])


_TEAM = "has(object.metadata.labels) && has(object.metadata.labels.team)"


@pytest.fixture
def policy(kubectl):
    """An admission policy of this namespace that wants a team named on each pod."""
    name, kinds = kubectl.namespace, {"apiGroups": [""], "apiVersions": ["v1"]}
    resources = {**kinds, "operations": ["CREATE"], "resources": ["pods"]}
    api = "admissionregistration.k8s.io/v1"
    rule = {"expression": _TEAM, "message": "name your team"}
    kubectl.create(
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {"matchConstraints": {"resourceRules": [resources]}, "validations": [rule]},
        }
    )
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
    spec = {"policyName": name, "validationActions": ["Deny"], "matchResources": here}
    kind = "ValidatingAdmissionPolicyBinding"
    kubectl.create({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec})
    yield
    kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", name)


def test_what_an_admission_policy_wants_is_told_in_its_words(job, kubectl, policy):
    trial = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "trial"}}
    pod = json.dumps(trial | template())

    def refused():
        tried = kubectl.tried("create", "--dry-run=server", "--filename=-", given=pod)
        return "name your team" in tried.stderr

    digits = job(runPolicy={"suspend": True})
    digits.until(refused, "the policy to be in force")
    resumed = json.dumps({"spec": {"runPolicy": {"suspend": False}}})
    kubectl("patch", "ej", "digits", "--type=merge", f"--patch={resumed}")
    told = digits.until_condition("Progressing", "ObjectRefused", "False")
    assert "name your team" in told["message"]
