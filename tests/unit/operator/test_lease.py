"""A lease is over when it was not seen to change for as long as it says, on one's own clock."""

from datetime import datetime, timezone

import pytest

from elasticjob_operator import lease

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)


def stored(made, version="1"):
    return {**made, "metadata": {**made["metadata"], "resourceVersion": version}}


HELD = stored(lease.new("system", "operator", "a", NOW))


def test_a_lease_that_was_just_seen_is_not_free_however_old_it_says_it_is():
    assert not lease.see(HELD, None, now=100.0).is_free(100.0)


def test_it_is_free_when_it_did_not_change_for_its_duration():
    first = lease.see(HELD, None, now=100.0)
    again = lease.see(HELD, first, now=114.0)
    assert again == first
    assert not again.is_free(114.9)
    assert again.is_free(115.0)


def test_every_renewal_starts_its_time_anew():
    first = lease.see(HELD, None, now=100.0)
    renewed = lease.see(stored(lease.renewed(HELD, NOW), "2"), first, now=114.0)
    assert not renewed.is_free(128.0)


def test_one_that_was_given_back_is_free_at_once():
    back = stored(lease.released(HELD, NOW), "2")
    assert lease.see(back, None, now=100.0).is_free(100.0)


def test_changes_of_hands_are_counted():
    taken = lease.taken(HELD, "b", NOW)
    assert taken["spec"]["holderIdentity"] == "b"
    assert taken["spec"]["leaseTransitions"] == 1
    assert lease.taken(taken, "c", NOW)["spec"]["leaseTransitions"] == 2
    assert taken["metadata"] == HELD["metadata"], "only the version that was seen is replaced"


@pytest.mark.parametrize("duration", [None, 0, -1, "15", 10**9])
def test_a_duration_that_makes_no_sense_is_the_usual_one(duration):
    odd = {**HELD, "spec": {"holderIdentity": "a", "leaseDurationSeconds": duration}}
    assert lease.see(odd, None, now=0.0).duration_s == 15
