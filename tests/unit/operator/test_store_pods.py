"""Pods of a store that their StatefulSet does not make: it is asked why, and told in words."""

from datetime import timedelta

import builders
import pytest
from builders import NOW, a_job, a_pod, a_round, a_store_pod, seen
from decisions import kinds, planned, told

from elasticjob_operator import api, conditions, report, run_policy
from elasticjob_operator.provisioning import etcd, stateful_sets
from elasticjob_operator.settings import Settings
from elasticjob_operator.timestamps import stamp

THREE = {"etcd": {"members": 3, "storage": {"size": "1Gi"}}}


def without_pods(started_s=60.0, **rendezvous):
    """A job that was started so long ago, and whose store has no pod."""
    status = api.ElasticJobStatus(start_time=stamp(NOW - timedelta(seconds=started_s)))
    return seen(a_job(rendezvous=rendezvous, status=status)).silent_store().store_pods()


def progressing(status):
    found = conditions.find(status.conditions, conditions.PROGRESSING)
    return found.status, found.reason, found.message


@pytest.mark.parametrize(
    ("snapshot", "asked"),
    [
        (without_pods(), ["digits-rdzv-0"]),
        (without_pods(backend="c10d"), ["digits-rdzv-0"]),
        (without_pods(**THREE).store_pods(a_store_pod(ready=False)), ["digits-rdzv-1"]),
        (without_pods(started_s=5.0), []),
        (without_pods().store_pods(a_store_pod(ready=False)), []),
        (without_pods().store(reachable=True), []),
        (without_pods(etcd={"endpoints": ["http://etcd:2379"]}), []),
        (without_pods().wants(run_policy=run_policy.RunPolicy(suspend=True)), []),
    ],
    ids=["etcd", "c10d", "one of three", "young", "there", "answers", "not ours", "suspended"],
)
def test_it_is_asked_about_the_first_pod_that_should_have_been_made(snapshot, asked):
    names = [s.name for s in planned(snapshot).actions if type(s).__name__ == "TryPod"]
    assert names == asked


def test_it_is_asked_last_so_that_an_answer_holds_up_nothing_else():
    lost = a_pod(0), builders.ended(a_pod(0), 1), a_pod(1)
    assert kinds(without_pods().pods(*lost))[-1] == "TryPod"


def test_a_pod_that_would_be_taken_and_is_not_made_is_told_with_where_to_read_on():
    assert progressing(told(without_pods()).observed.status) == (
        "True",
        "WaitingForStore",
        (
            "the rendezvous store's pod digits-rdzv-0 is not made yet, although the API server"
            " would take it: see the events of the StatefulSet digits-rdzv"
        ),
    )


def test_with_a_refusal_it_is_told_that_a_round_goes_on():
    both = a_pod(0), a_pod(1)
    status = told(seen().pods(*both).members(*both).rounds(a_round(1, *both))).observed.status
    lost = seen(a_job(status=status)).pods(*both).silent_store().store_pods()
    refusal = report.Outcome(refusal="the API server refuses it: exceeded quota: few")
    status, reason, words = progressing(report.status(planned(lost), refusal))
    assert (status, reason) == ("False", "ObjectRefused")
    assert words == "the API server refuses it: exceeded quota: few; round 1 goes on meanwhile"


def test_the_pod_that_is_asked_about_is_the_one_that_would_be_made():
    made = etcd.manifests(a_job(rendezvous=THREE), Settings())[-1]
    pod = stateful_sets.pod(made, "digits-rdzv-1")
    template = made["spec"]["template"]
    assert (pod["kind"], pod["metadata"]["name"]) == ("Pod", "digits-rdzv-1")
    assert pod["metadata"]["namespace"] == "ml"
    assert pod["metadata"]["labels"] == template["metadata"]["labels"]
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data-digits-rdzv-1"}}
    assert pod["spec"]["volumes"] == [*template["spec"]["volumes"], claim]


def test_so_is_the_claim_for_its_volume():
    made = etcd.manifests(a_job(rendezvous=THREE), Settings())[-1]
    (claim,) = stateful_sets.claims(made, "digits-rdzv-1")
    assert (claim["kind"], claim["metadata"]["name"]) == (
        "PersistentVolumeClaim",
        "data-digits-rdzv-1",
    )
    assert claim["metadata"]["labels"] == made["spec"]["selector"]["matchLabels"]
    assert claim["spec"]["resources"] == {"requests": {"storage": "1Gi"}}
    assert stateful_sets.claims(etcd.manifests(a_job(), Settings())[-1], "digits-rdzv-0") == []


UNBOUND = "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims"


@pytest.mark.parametrize(
    ("rendezvous", "unschedulable", "words"),
    [
        (THREE, UNBOUND, f"{UNBOUND}; `kubectl describe pvc data-digits-rdzv-0` tells what its "),
        (THREE, "insufficient cpu", "insufficient cpu"),
        ({}, "no volume of the template's", "no volume of the template's"),
    ],
    ids=["no volume", "no room", "not its own volume"],
)
def test_who_finds_no_node_for_want_of_a_volume_is_told_with_its_claim(
    rendezvous, unschedulable, words
):
    pod = a_store_pod(ready=False, started=False, unschedulable=unschedulable)
    status, reason, message = progressing(
        told(without_pods(**rendezvous).store_pods(pod)).observed.status
    )
    assert (status, reason) == ("False", "Unschedulable")
    begin = f"the rendezvous store's pod digits-rdzv-0 finds no node: {words}"
    assert message.startswith(begin)
    assert ("pvc" in message) == ("pvc" in words)


def test_a_pod_that_does_not_start_is_told_with_where_to_read_on():
    pod = a_store_pod(ready=False, started=False, node="node-0")
    waiting = without_pods().store_pods(pod)
    starting = "the rendezvous store is starting (connection refused)"
    at_first, later = (told(s).observed.status for s in (waiting, waiting.later(90)))
    assert progressing(at_first) == ("True", "WaitingForStore", starting)
    slow = "pod digits-rdzv-0 does not run after 90 s: `kubectl describe pod digits-rdzv-0`"
    assert progressing(later)[2] == f"{starting}; {slow} tells why"
