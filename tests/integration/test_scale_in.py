"""Scaling in on a real API server: the members are asked to leave before their pods are deleted."""

import pytest

pytestmark = pytest.mark.usefixtures("operator")

PODS = [f"digits-{index}-0" for index in range(4)]


def four(job):
    """Return a job with four workers in round 1."""
    digits = job(replicas=4)
    digits.until_pods(*PODS)
    digits.run(*PODS)
    digits.join(*PODS)
    digits.form(1, *PODS)
    digits.until_condition("Ready", "RoundFormed")
    return digits


def test_members_are_asked_to_leave_and_their_pods_go_when_they_have(job, kubectl):
    digits = four(job)
    kubectl("scale", "ej/digits", "--replicas=2")
    digits.until(lambda: len(digits.drained()) == 2, "two to be asked to leave")
    assert digits.drained() == dict.fromkeys(PODS[2:], "scaled in to 2 replicas")
    assert digits.settings().expected_nodes == 2
    assert digits.pods() == PODS
    for pod in PODS[2:]:
        digits.leave(pod, "drained")
    digits.form(2, *PODS[:2], cause="drain", reason="digits-2-0, digits-3-0 leave: scaled in")
    digits.until_pods(*PODS[:2])
    status = digits.until(
        lambda: (s := digits.status)["rendezvous"]["round"] == 2 and s, "round 2 in the status"
    )
    assert (status["restarts"]["counted"], status["restarts"]["infrastructure"]) == (0, 0)
    assert digits.gone() == []


def test_a_choice_stands_while_the_operator_is_away(job, kubectl, operator):
    digits = four(job)
    kubectl("scale", "ej/digits", "--replicas=3")
    digits.until(lambda: list(digits.drained()) == PODS[3:], "the newest to be asked to leave")
    operator.kill()
    digits.leave(PODS[3], "drained")
    digits.end(PODS[3], 0)
    operator.start()
    digits.until_pods(*PODS[:3])
    assert digits.status["restarts"]["infrastructure"] == 0
    assert list(digits.drained()) == PODS[3:]


def test_who_trains_stays_and_keeps_its_index(job, kubectl):
    digits = four(job)
    digits.remove(PODS[1])
    digits.until_pods(PODS[0], "digits-1-1", *PODS[2:])
    kubectl("scale", "ej/digits", "--replicas=3")
    digits.until_pods(PODS[0], *PODS[2:])
    assert digits.drained() == {}, "who did not train yet need not be asked"
    kubectl("scale", "ej/digits", "--replicas=4")
    digits.until_pods(PODS[0], "digits-1-2", *PODS[2:])
