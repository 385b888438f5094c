"""Whatever happens to members, network and store, the protocol keeps its promises.

One schedule again: ``SEED=231 pytest tests/simulation``. More of them: ``SCHEDULES=10000``.
"""

import os
from dataclasses import replace

import pytest

from rdzv_client.testing.chaos import Schedule, first_broken
from rdzv_client.view import View

SCHEDULES = int(os.environ.get("SCHEDULES", "600"))
BATCH = 50
FIRST = int(os.environ.get("SEED", "0"))
SEEDS = range(FIRST, FIRST + 1) if "SEED" in os.environ else range(SCHEDULES)


BATCHES = [SEEDS[i : i + BATCH] for i in range(0, len(SEEDS), BATCH)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}-{batch[-1]}")
def test_promises_hold_and_a_round_stands_after_the_storm(batch):
    if broken := first_broken(batch):
        pytest.fail(broken, pytrace=False)


def without_any_fence(store):
    store._holds = lambda _write: True


def without_the_fence_of_the_round(store):
    """A leader may overwrite what it has not seen."""
    holds = store._holds

    def tampered(write):
        rounds = {key: rev for key, rev in write.modified.items() if not key.endswith("/round")}
        return holds(replace(write, modified=rounds))

    store._holds = tampered


def without_the_fence_of_the_leader(store):
    """A leader whose record was lost may go on writing, and so may one who was declared gone."""
    holds = store._holds
    store._holds = lambda write: holds(replace(write, created={}))


def test_the_promises_bite_when_a_leader_knows_no_step(monkeypatch):
    monkeypatch.setattr(View, "fitting", lambda view, here: min(here, view.max_nodes))
    assert "in steps of 2" in first_broken(range(400))


@pytest.mark.parametrize(
    "tamper", [without_any_fence, without_the_fence_of_the_round, without_the_fence_of_the_leader]
)
def test_the_promises_bite_when_a_fence_is_gone(tamper):
    for seed in range(400):
        try:
            Schedule(seed, tamper=lambda cluster: tamper(cluster.store)).run()
        except AssertionError:
            return
    pytest.fail("no schedule noticed")
