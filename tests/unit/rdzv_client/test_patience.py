"""When an agent gives up, since its workers fail again and again and no operator counts."""

from dataclasses import replace

import pytest

from rdzv_client import wire
from rdzv_client.patience import MARGIN, Patience

STORE = wire.StoreAddress("10.0.0.1", 29500)
FIRST = wire.Round(1, 1, "complete", "start", "", world_size=2, rank0="a", store=STORE)
AGAIN = replace(FIRST, number=2, cause="restart")


def settings(*, left=3, seen=0):
    return wire.Settings(1, 2, 4, round_floor=seen, failures_left=left)


def after(failures, **change):
    """What is left after so many failures, each of which brought about a round."""
    patience = Patience()
    for number in range(failures):
        rounds = replace(FIRST, number=number + 1), replace(AGAIN, number=number + 2, **change)
        patience.note(*rounds)
    return patience


def test_it_ends_when_more_have_failed_than_the_operator_would_let_pass_and_a_few():
    assert after(3 + MARGIN).ends(settings()) == ""
    assert after(4 + MARGIN).ends(settings()) == (
        "its workers failed 14 times since the operator last looked, which would have let 3"
        " failures pass"
    )


def test_what_the_operator_has_seen_does_not_count():
    patience = after(4 + MARGIN)
    assert patience.ends(settings(seen=2)) == ""
    assert patience.ends(settings()) == "", "it has been seen"


@pytest.mark.parametrize(
    "change", [{"cause": "lost"}, {"cause": "admission"}, {"world_size": 1}], ids=str
)
def test_what_a_peers_loss_or_a_newcomer_brought_about_does_not_count(change):
    assert after(100, **change).ends(settings()) == ""


@pytest.mark.parametrize("told", [None, wire.Settings(1, 2, 4)], ids=["nothing", "no number"])
def test_without_a_word_of_the_operator_nobody_gives_up(told):
    assert after(100).ends(told) == ""


@pytest.mark.parametrize(("failures", "strained"), [(MARGIN, False), (MARGIN + 1, True)])
def test_the_store_is_not_asked_before_it_matters(failures, strained):
    assert after(failures).is_strained is strained
