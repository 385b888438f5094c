"""What workers are made from may be edited while the job is suspended."""

from dataclasses import replace

import builders
import pytest
from builders import a_job, a_pod, seen
from decisions import created, deleted, planned, told

from elasticjob_operator import blueprint, run_policy

EDITED = {"spec": {"containers": [{"name": "trainer", "image": "trainer:2"}]}}
NOW = blueprint.digest(a_job().spec)


def made(index, *, of=NOW):
    return replace(a_pod(index), blueprint=of)


def test_the_digest_of_a_job_is_the_same_in_every_release_of_the_operator():
    """If it were not, an upgrade would replace the workers of all jobs."""
    assert NOW == "0c8ba3a7fc433963"


@pytest.mark.parametrize(
    "edit",
    [
        {"template": EDITED},
        {"nproc_per_node": 2},
        {"training_container": "trainer"},
        {"client_injection": "None"},
    ],
    ids=str,
)
def test_a_pod_that_was_made_before_an_edit_is_replaced(edit):
    now = seen().pods(made(0), made(1))
    assert deleted(now) == []
    resumed = now.wants(**edit)
    assert deleted(resumed) == ["digits-0-0", "digits-1-0"]
    assert created(resumed) == ["digits-0-1", "digits-1-1"]
    assert planned(resumed).facts.restarts.infrastructure == 0


@pytest.mark.parametrize("edit", [{"replicas": 3}, {"max_restarts": 9}], ids=str)
def test_other_edits_leave_it_alone(edit):
    assert deleted(seen().pods(made(0), made(1)).wants(**edit)) == []


def test_a_pod_of_an_operator_that_wrote_no_digest_is_left_alone():
    assert deleted(seen().pods(a_pod(0), a_pod(1)).wants(template=EDITED)) == []


def test_never_more_pods_than_the_most_while_they_are_replaced():
    now = seen(a_job(at_most=2)).pods(made(0), made(1)).wants(template=EDITED)
    assert (deleted(now), created(now)) == (["digits-0-0", "digits-1-0"], [])
    going = now.pods(*map(builders.deleting, now.observed.pods))
    assert created(going) == ["digits-0-1", "digits-1-1"]


# --- the client ----------------------------------------------------------------------------------


def standing(*clients):
    pods = [replace(a_pod(index), client=image) for index, image in enumerate(clients)]
    return seen().pods(*pods).members(*pods).rounds(builders.a_round(1, *pods))


def client_of(snapshot):
    return told(snapshot).observed.status.client_image


def test_the_client_is_the_jobs_own_from_the_first_round_on():
    assert client_of(seen().pods(replace(a_pod(0), client="client:1"))) == ""
    assert client_of(standing("client:1", "client:1")) == "client:1"


def test_an_upgraded_operator_does_not_change_it():
    later = told(standing("client:1", "client:1")).pods(replace(a_pod(0), client="client:2"))
    assert client_of(later) == "client:1"


def test_a_job_whose_image_has_the_client_has_none_of_its_own():
    assert client_of(standing("", "")) == ""


def test_a_resumed_job_gets_the_operators():
    suspended = told(standing("client:1", "client:1")).wants(
        run_policy=run_policy.RunPolicy(suspend=True)
    )
    assert client_of(suspended) == "client:1", "its pods are still ending"
    assert client_of(suspended.pods()) == ""
