"""Whole steps and spares on a real API server."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("operator")

PODS = [f"digits-{index}-0" for index in range(4)]


def a_scaler_reads(kubectl):
    """Return the number of replicas that autoscalers are told."""
    found = kubectl("get", "ej", "digits", "--subresource=scale", "--output=json")
    return json.loads(found)["status"]["replicas"]


def test_any_number_of_replicas_is_taken_and_the_multiple_below_is_made(job, kubectl):
    digits = job(minReplicas=2, maxReplicas=6, replicaStep=2).start()
    assert digits.settings().step == 2
    kubectl("scale", "ej/digits", "--replicas=5")
    digits.until_pods(*PODS)
    digits.run(*PODS)
    digits.join(*PODS[2:])
    digits.form(2, *PODS)
    words = "; replicas is 5, of which replicaStep 2 leaves 4"
    digits.until(lambda: digits.condition("Progressing")["message"].endswith(words), words)
    digits.until(lambda: digits.status["readyOfWanted"] == "4/4", "all four to be in the round")
    kubectl("scale", "ej/digits", "--replicas=3")
    digits.until(lambda: sorted(digits.drained()) == PODS[2:], "a whole step to be asked to leave")


def test_spares_run_beside_the_round_and_one_that_took_a_place_is_followed_by_another(job, kubectl):
    digits = job(replicas=2, minReplicas=2, spareReplicas=1)
    digits.until_pods(*PODS[:3])
    digits.run(*PODS[:3])
    digits.join(*PODS[:3])
    digits.form(1, *PODS[:2])
    digits.until_condition("Ready", "RoundFormed")
    words = "1 of 1 spares stand by"
    digits.until(lambda: digits.condition("Progressing")["message"].endswith(words), words)
    assert (digits.settings().max_nodes, digits.settings().expected_nodes) == (2, 2)
    assert (digits.status["spares"], a_scaler_reads(kubectl)) == (1, 2)
    digits.remove(PODS[1])
    digits.until_pods(PODS[0], "digits-1-1", PODS[2])
    digits.form(2, PODS[0], PODS[2], cause="lost", reason="digits-1-0 lost: the pod was deleted")
    digits.until(lambda: digits.status["rendezvous"]["round"] == 2, "round 2 in the status")
    digits.until(lambda: digits.status["spares"] == 1, "another spare")
    assert (digits.status["readyOfWanted"], a_scaler_reads(kubectl)) == ("2/2", 2)
