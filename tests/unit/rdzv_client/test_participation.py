"""What a member that is in no round says it waits for."""

from dataclasses import replace

import pytest

from rdzv_client import participation, wire

ME = wire.Member("a", "a", None, "a", "node", "addr", 2, 4)
STANDS = wire.Round(
    7,
    7,
    "complete",
    "start",
    "",
    world_size=4,
    leader="b",
    rank0="b",
    store=wire.StoreAddress("addr", 1),
    min_nodes=2,
    max_nodes=4,
)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({}, "4 members, as many as there may be; waiting as a spare"),
        ({"max_nodes": 6}, "4 members; waiting to join"),
        ({"max_nodes": 6, "step": 2}, "4 members; waiting until 2 can join"),
        ({"step": 2}, "4 members, as many as there may be; waiting as a spare"),
        ({"min_nodes": 0, "max_nodes": 0}, "4 members; waiting to join"),
    ],
)
def test_outside_a_round_that_stands_it_waits_for_as_long_as_that_lasts(bounds, words):
    step = participation.follow(ME, replace(STANDS, **bounds), None)
    assert step == participation.Await(f"round 7 stands with {words}", as_spare=True)
