"""How soon a loss is known, and that an outage costs nothing, measured on virtual time."""

import pytest

from rdzv_client.testing.cluster import Cluster

SEEDS = range(40)
LONGEST_DELAY_S = 0.002
LIMIT_S = 60.0


@pytest.fixture(params=SEEDS)
def cluster(request):
    """A cluster in whose first round all members work."""
    cluster = Cluster(request.param, min_nodes=1, max_nodes=8)
    size = cluster.random.randint(2, 8)
    cluster.settings(expected=size)
    for slot in range(size):
        cluster.start(f"w{slot}", slot)
    cluster.run_until(lambda: len(cluster.working(1)) == size, LIMIT_S)
    cluster.run(cluster.random.uniform(10.0, 20.0))  # beats of members are out of step
    return cluster


def are_told(cluster, dead):
    """Whether all survivors have stopped for the next round."""
    survivors = [m for m in cluster.members.values() if m is not dead]
    return all(m.entered is None or m._restarting for m in survivors)


def test_a_lost_member_is_known_to_all_within_its_lease_and_one_delivery(cluster):
    """L2: the store hears of no life, says so to the leader, which says so to all."""
    dead = cluster.random.choice(list(cluster.members.values()))
    dead.crash()
    took_s = cluster.run_until(lambda: are_told(cluster, dead), LIMIT_S)
    expiry_is_looked_for_every_s = 0.1
    allowed = cluster.timing.lease_ttl_s + expiry_is_looked_for_every_s + 8 * LONGEST_DELAY_S
    assert took_s <= allowed


def test_a_loss_that_the_operator_tells_of_is_known_at_once(cluster):
    dead = cluster.random.choice(list(cluster.members.values()))
    dead.crash()
    cluster.gone(dead)
    assert cluster.run_until(lambda: are_told(cluster, dead), LIMIT_S) <= 8 * LONGEST_DELAY_S


@pytest.mark.parametrize("emptied", [False, True])
def test_an_outage_costs_no_round_and_no_member(cluster, emptied):
    """L3."""
    size = len(cluster.members)
    cluster.freeze()
    cluster.run(cluster.random.uniform(1.0, 500.0))
    cluster.thaw()
    if emptied:
        cluster.replace_store()
    cluster.run(LIMIT_S)
    assert len(cluster.working(1)) == size
    assert cluster.round.number == 1
    assert cluster.round.phase == "complete"
