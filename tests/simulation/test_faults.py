"""Whatever happens to members, network and store, the protocol keeps its promises.

One schedule again: ``SEED=231 pytest tests/simulation``. More of them: ``SCHEDULES=10000``.
"""

import os

import pytest

from rdzv_client.testing.chaos import Schedule
from rdzv_client.testing.promises import BrokenPromise

SCHEDULES = int(os.environ.get("SCHEDULES", "600"))
BATCH = 50
SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else range(SCHEDULES)


def batches():
    return [list(SEEDS[i : i + BATCH]) for i in range(0, len(SEEDS), BATCH)]


@pytest.mark.parametrize("seeds", batches(), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_promises_hold_and_a_round_stands_after_the_storm(seeds):
    for seed in seeds:
        try:
            Schedule(seed).run()
        except AssertionError as error:
            pytest.fail(f"replay with SEED={seed}: {error}", pytrace=False)


def a_store_without_fences(cluster):
    """Break the store: every transaction holds."""
    cluster.store._holds = lambda _write: True


def test_the_promises_bite_when_the_fences_are_gone():
    broken = 0
    for seed in range(60):
        try:
            Schedule(seed, tamper=a_store_without_fences).run()
        except (BrokenPromise, AssertionError):
            broken += 1
    assert broken > 0
