"""What follows from a leader's snapshot alone."""

from dataclasses import replace

from rdzv_client import protocol, verdicts, wire
from rdzv_client.view import Seen, View

BACK = wire.Round(7, 7, "broken", "restart", "a restarted", formed=7, world_size=3, max_nodes=4)
MEMBER = wire.Member("a", "a", None, "a", "node", "addr", 1, 9, operated=True)


def after_the_store_was_emptied(**known):
    """Of three members two are back, and the operator's settings are not."""
    there = [Seen(replace(MEMBER, id=name, uid=name, name=name), since=0.0) for name in "ab"]
    round_ = replace(BACK, min_nodes=2, **known)
    return View(me="a", members=tuple(there), round=round_)


def test_the_round_that_was_brought_back_knows_how_many_the_operator_expects():
    view = after_the_store_was_emptied(expected_nodes=3)
    assert (view.bounds, view.expected_nodes) == ((2, 4), 3)
    verdict = protocol.decide(view, 1.0)
    assert verdict == verdicts.Wait("last call: 2 of 3 members are ready", until=30.0)


def test_where_nobody_knows_how_many_come_those_who_are_there_go_on():
    assert isinstance(protocol.decide(after_the_store_was_emptied(), 1.0), verdicts.Propose)


def test_the_operators_own_settings_outweigh_what_the_round_remembers():
    view = replace(
        after_the_store_was_emptied(expected_nodes=3), settings=wire.Settings(1, 2, 4, 2)
    )
    assert view.expected_nodes == 2
    assert isinstance(protocol.decide(view, 1.0), verdicts.Propose)
