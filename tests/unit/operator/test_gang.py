"""The group in which a scheduler places the workers, and how they say that they belong to it."""

import builders
import pytest

from elasticjob_operator import blueprint, pods, provisioning
from elasticjob_operator.settings import Settings


def a_gang(scheduler, **fields):
    return builders.a_job(at_least=2, gang_scheduling={"scheduler": scheduler, **fields})


def group(job):
    found = [m for m in provisioning.manifests(job, Settings()) if m["kind"] == "PodGroup"]
    return found[0] if found else None


def worker(job):
    return pods.worker(job, 0, 0, Settings())


@pytest.mark.parametrize(
    ("job", "version", "spec"),
    [
        (
            a_gang("Kubernetes"),
            "scheduling.k8s.io/v1beta1",
            {"schedulingPolicy": {"gang": {"minCount": 2}}},
        ),
        (a_gang("Coscheduling"), "scheduling.x-k8s.io/v1alpha1", {"minMember": 2}),
        (a_gang("Volcano"), "scheduling.volcano.sh/v1beta1", {"minMember": 2}),
        (
            a_gang("Volcano", queue="gold"),
            "scheduling.volcano.sh/v1beta1",
            {"minMember": 2, "queue": "gold"},
        ),
    ],
)
def test_the_group_has_the_jobs_name_and_its_minimum_and_goes_with_it(job, version, spec):
    made = group(job)
    assert (made["apiVersion"], made["spec"]) == (version, spec)
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("digits", "ml")
    assert made["metadata"]["ownerReferences"][0]["uid"] == builders.JOB_UID


def test_a_job_that_asks_for_none_gets_none():
    assert group(builders.a_job()) is None
    assert "schedulingGroup" not in worker(builders.a_job())["spec"]


@pytest.mark.parametrize(
    ("scheduler", "labels", "annotations", "spec"),
    [
        ("Kubernetes", {}, {}, {"schedulingGroup": {"podGroupName": "digits"}}),
        (
            "Coscheduling",
            {"scheduling.x-k8s.io/pod-group": "digits"},
            {},
            {"schedulerName": "scheduler-plugins-scheduler"},
        ),
        (
            "Volcano",
            {},
            {"scheduling.k8s.io/group-name": "digits"},
            {"schedulerName": "volcano"},
        ),
    ],
)
def test_each_worker_says_to_which_group_it_belongs(scheduler, labels, annotations, spec):
    pod = worker(a_gang(scheduler))
    assert labels.items() <= pod["metadata"]["labels"].items()
    assert annotations.items() <= pod["metadata"]["annotations"].items()
    assert spec.items() <= pod["spec"].items()


def test_the_templates_own_scheduler_is_kept():
    template = {"spec": {**builders.TEMPLATE["spec"], "schedulerName": "ours"}}
    job = builders.a_job(template=template, gang_scheduling={"scheduler": "Coscheduling"})
    assert worker(job)["spec"]["schedulerName"] == "ours"


def test_a_gang_changes_what_workers_are_made_from_and_its_absence_does_not():
    alone = builders.a_job().spec
    assert blueprint.digest(a_gang("Volcano").spec) != blueprint.digest(alone)
    assert blueprint.digest(alone) == blueprint.digest(builders.a_job(replicas=3).spec)
