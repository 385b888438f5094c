"""Of several operators one works; when it ends, stalls or dies another goes on, and nothing is
done twice."""

import re
import signal
import time

import pytest

LEASE = "elasticjob-operator"
LEADS = "leading as"
AT_ONCE_S = 10.0
TAKEN_LIMIT_S = 60.0


@pytest.fixture
def pair(operators, kubectl):
    """The leader, and another that stands by."""
    lease = f"{kubectl.namespace}/{LEASE}"
    leader = operators(LEASE=lease)
    leader.until_logged(LEADS)
    other = operators(LEASE=lease)
    other.until_logged("standing by")
    return leader, other


def test_a_leader_that_is_asked_to_end_gives_the_lease_back(pair, kubectl):
    leader, other = pair
    assert leader.stop() == 0
    began = time.monotonic()
    other.until_logged(LEADS, AT_ONCE_S)
    assert time.monotonic() - began < AT_ONCE_S
    spec = kubectl.get("lease", LEASE)["spec"]
    assert f"leading as {spec['holderIdentity']}\n" in other.log
    assert spec["leaseTransitions"] == 1


def test_only_the_leader_works_and_when_it_is_killed_the_other_goes_on(pair, job, kubectl):
    leader, other = pair
    digits = job().start()
    assert "RoundFormed" not in other.log
    leader.kill()
    kubectl("scale", "ej/digits", "--replicas=4")
    other.until_logged(LEADS, TAKEN_LIMIT_S)
    digits.until_pods(*[f"digits-{index}-0" for index in range(4)])
    digits.until_event("WorkersCreated", "made digits-2-0, digits-3-0")
    assert digits.reasons().count("RoundFormed") == 1, "what was told is not told again"


def test_a_leader_that_stood_still_while_another_took_over_ends_and_writes_nothing(
    pair, job, kubectl
):
    leader, other = pair
    digits = job().start()
    leader.send(signal.SIGSTOP)
    kubectl("scale", "ej/digits", "--replicas=4")
    other.until_logged(LEADS, TAKEN_LIMIT_S)
    digits.until_pods(*[f"digits-{index}-0" for index in range(4)])
    kubectl("scale", "ej/digits", "--replicas=2")
    digits.until_pods("digits-0-0", "digits-1-0")
    leader.send(signal.SIGCONT)
    assert leader.wait() == 1
    assert re.search(rf"the lease {kubectl.namespace}/{LEASE} was not renewed: \w", leader.log)
    digits.until_pods("digits-0-0", "digits-1-0")
    assert digits.reasons().count("WorkersCreated") == 2
    assert "made digits-2-0" not in leader.log
