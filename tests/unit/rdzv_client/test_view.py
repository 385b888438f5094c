"""What follows from a leader's snapshot alone."""

from dataclasses import replace

from rdzv_client import protocol, verdicts, wire
from rdzv_client.replica import Record, Replica
from rdzv_client.view import Seen, Timing, View

BACK = wire.Round(7, 7, "broken", "restart", "a restarted", formed=7, world_size=3, max_nodes=4)
MEMBER = wire.Member("a", "a", None, "a", "node", "addr", 1, 9, operated=True)


def after_the_store_was_emptied(**known):
    """Of three members two are back, and the operator's settings are not."""
    there = [Seen(replace(MEMBER, id=name, uid=name, name=name), since=0.0) for name in "ab"]
    round_ = replace(BACK, min_nodes=2, **known)
    return View(me="a", members=tuple(there), round=round_)


def test_the_round_that_was_brought_back_knows_how_many_the_operator_expects():
    view = after_the_store_was_emptied(expected_nodes=3)
    assert (view.bounds, view.expected_nodes) == ((2, 4, 1), 3)
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


def test_a_round_that_was_brought_back_knows_the_step_and_none_has_less_than_one():
    view = after_the_store_was_emptied(expected_nodes=3, step=2)
    assert view.bounds == (2, 4, 2)
    assert [view.fitting(here) for here in (2, 3, 4, 9)] == [2, 2, 4, 4]
    verdict = protocol.decide(view, 1.0)
    assert isinstance(verdict, verdicts.Propose)
    assert [member.name for member in verdict.roster] == ["a", "b"]
    unknown = replace(view, round=replace(BACK, min_nodes=0, step=4), members=view.members[:1])
    assert protocol.decide(unknown, 1.0) == verdicts.Wait("1 of at least 4 members are ready")


KEYS = wire.Keys("run")


def heard(*documents):
    return [Record(key, wire.encode(document), 1, 1) for key, document in documents]


def test_a_member_runs_where_it_says_else_where_the_operator_says_its_node_stands():
    view = View(me="a", sites={"node": "rack-1"})
    assert view.located(MEMBER).topology == "rack-1"
    assert view.located(replace(MEMBER, topology="rack-2")).topology == "rack-2"
    assert view.located(replace(MEMBER, node="elsewhere")).topology == ""


def test_nodes_do_not_move_when_the_store_forgets_where_they_stand():
    replica = Replica(KEYS, "a", Timing())
    replica.reset(heard((KEYS.site("node"), wire.Site("node", "rack-1"))), 0.0)
    replica.reset([], 1.0)
    assert replica.view(2.0, 0.0).sites == {"node": "rack-1"}
    replica.reset(heard((KEYS.site("node"), wire.Site("node", "rack-2"))), 3.0)
    assert replica.view(4.0, 0.0).sites == {"node": "rack-2"}
