"""The autoscaler that a job asks for: made, kept, and taken away again."""

import pytest
from builders import a_job, a_pod, a_round, ended, seen, unschedulable
from decisions import SETTINGS, kinds, planned, told

from elasticjob_operator import actions, conditions, plan, report, run_policy
from elasticjob_operator.autoscaling import Autoscaling
from elasticjob_operator.provisioning import autoscaler

METRIC = {"type": "External", "external": {"metric": {"name": "backlog"}}}
PODS = (a_pod(0), a_pod(1))


def running(**spec):
    """A job in round 1 whose autoscaler, if any, was made."""
    now = seen(a_job(**spec)).pods(*PODS).members(*PODS)
    return told(now.rounds(a_round(1, *PODS)))


def scaled(**fields):
    return {"autoscaling": Autoscaling(metrics=(METRIC,), **fields)}


def test_it_has_the_jobs_own_bounds_and_the_users_metrics():
    job = a_job(**scaled(behavior={"scaleDown": {"selectPolicy": "Disabled"}}))
    made = autoscaler.manifest(job)
    assert made["spec"] == {
        "scaleTargetRef": {
            "apiVersion": "rdzv.dev/v1alpha1",
            "kind": "ElasticJob",
            "name": "digits",
        },
        "minReplicas": 2,
        "maxReplicas": 4,
        "metrics": [METRIC],
        "behavior": {"scaleDown": {"selectPolicy": "Disabled"}},
    }
    assert made["metadata"]["ownerReferences"][0]["uid"] == job.metadata.uid
    assert "behavior" not in autoscaler.manifest(a_job(**scaled()))["spec"]
    assert autoscaler.manifest(a_job()) is None


def test_it_is_told_before_it_is_made_so_that_none_is_forgotten():
    fresh = seen(a_job(**scaled())).pods(*PODS)
    assert kinds(fresh) == ["Provision"]
    assert planned(fresh).after_s == plan.TOLD_S
    assert told(fresh).observed.status.autoscaler == "digits"
    assert kinds(told(fresh)) == ["Provision", "Autoscale"]
    assert planned(told(fresh)).after_s == plan.RESYNC_S


def test_it_comes_last_so_that_a_wrong_one_is_in_nobodys_way():
    lost = running(**scaled()).pods(PODS[0])
    assert kinds(lost)[-2:] == ["CreatePod", "Autoscale"]


def test_a_refusal_is_told_unless_something_else_is_in_the_way():
    refused = report.Outcome(refused_scaler="the autoscaler is refused: so it is")
    status = report.status(planned(running(**scaled())), refused)
    progressing = conditions.find(status.conditions, conditions.PROGRESSING)
    assert (progressing.status, progressing.reason) == ("False", "ObjectRefused")
    assert progressing.message == f"{refused.refused_scaler}; round 1 goes on meanwhile"
    assert conditions.holds(status.conditions, conditions.READY)
    stuck = running(**scaled()).pods(PODS[0], unschedulable(PODS[1]))
    status = report.status(planned(stuck), refused)
    assert conditions.find(status.conditions, conditions.PROGRESSING).reason == "Unschedulable"


@pytest.mark.parametrize(
    ("edit", "first"),
    [
        ({"autoscaling": None}, "Provision"),
        ({"run_policy": run_policy.RunPolicy(suspend=True)}, "StopAutoscaling"),
    ],
    ids=["no longer wanted", "suspended"],
)
def test_it_goes_when_it_is_not_wanted(edit, first):
    gone = running(**scaled()).wants(**edit)
    assert kinds(gone)[0] == first
    assert "StopAutoscaling" in kinds(gone)
    assert "Autoscale" not in kinds(gone)
    assert told(gone).observed.status.autoscaler == "digits", "until it is deleted"
    after = gone.told(report.status(planned(gone), report.Outcome(unscaled=True)))
    assert "StopAutoscaling" not in kinds(after)
    assert not planned(running(**scaled())).at_rest


def test_it_goes_when_the_job_is_over():
    over = running(**scaled()).pods(*(ended(pod, 0) for pod in PODS))
    assert kinds(over)[0] == "StopAutoscaling"
    assert not planned(over).at_rest
    after = over.told(report.status(planned(over), report.Outcome(unscaled=True)))
    assert "StopAutoscaling" not in kinds(after)


def test_a_job_without_one_has_none_deleted():
    assert kinds(running().wants(run_policy=run_policy.RunPolicy(suspend=True)))[0] == "FollowStore"
    never = plan.plan(running().observed, SETTINGS).actions
    assert not [step for step in never if isinstance(step, actions.StopAutoscaling)]


def test_what_was_done_before_is_told_with_what_is_done_later():
    earlier = report.Outcome(unscaled=True)
    assert report.Outcome().after(earlier).unscaled
