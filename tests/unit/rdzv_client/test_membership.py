"""Who is in a round, and with which rank."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdzv_client import membership, wire


def a_member(name, slot=None, topology=""):
    return wire.Member(name, name, slot, name, "node", "addr", 1, 9, topology=topology)


def ranked(ready, previous, max_nodes=9):
    """Names by rank; ``ready`` is names or (name, slot), the oldest first."""
    members = [a_member(*((one,) if isinstance(one, str) else one)) for one in ready]
    chosen = membership.choose(members, previous, max_nodes)
    return "".join(member.name for member in membership.rank(chosen, previous))


@pytest.mark.parametrize(
    ("ready", "previous", "order"),
    [
        ("abc", {}, "abc"),
        ([("b", 10), ("a", 2), ("c", 1)], {}, "cab"),
        ("abc", {"a": 0, "b": 1, "c": 2}, "abc"),
        ("cba", {"a": 0, "b": 1, "c": 2}, "abc"),
        ("acd", {"a": 0, "b": 1, "c": 2}, "adc"),
        ("ac", {"a": 0, "b": 1, "c": 2}, "ac"),
        ("bc", {"a": 0, "b": 1, "c": 2}, "bc"),
        ("bcd", {"a": 0, "b": 1, "c": 2}, "bdc"),
        ("d", {"a": 0}, "d"),
        ("abcde", {"a": 0, "b": 1}, "abcde"),
        ("cd", {"a": 0, "b": 1, "c": 2, "d": 3}, "cd"),
    ],
)
def test_who_stays_keeps_its_rank_and_rank_0_goes_to_one_who_stays(ready, previous, order):
    assert ranked(ready, previous) == order


def test_those_who_stay_come_before_older_newcomers():
    assert ranked("xab", {"a": 0, "b": 1}, max_nodes=2) == "ab"


def test_beyond_the_maximum_the_oldest_newcomers_win():
    assert ranked("abc", {}, max_nodes=2) == "ab"


def test_ranks_of_a_record_that_lies_are_still_each_given_once():
    assert sorted(ranked("abc", {"a": 1, "b": 1, "c": 1})) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("ready", "previous", "order"),
    [
        ([("a", 0, "x"), ("b", 1, "y"), ("c", 2, "x"), ("d", 3, "y")], {}, "acbd"),
        ([("a", 0, "y"), ("b", 1, "x"), ("c", 2, "y")], {}, "acb"),
        ([("a", 0, "z/x"), ("b", 1, "q/x"), ("c", 2, "z/y"), ("d", 3, "z/x")], {}, "adcb"),
        ([("a", 0, "x"), ("b", 1), ("c", 2, "x"), ("d", 3)], {}, "acbd"),
        ([("a", 10, "x"), ("b", 9, "x"), ("c", 2, "y")], {}, "cba"),
        ([("a", 0, "x"), ("b", 1, "y"), ("c", 2, "x")], {"a": 1, "b": 0}, "bac"),
        ([("a", 0, "x"), ("b", 1, "y"), ("c", 2, "x")], {"a": 0, "b": 1}, "acb"),
    ],
)
def test_what_runs_together_is_ranked_together_and_rank_0_stays(ready, previous, order):
    assert ranked(ready, previous) == order


@given(
    st.lists(st.sampled_from(["", "x", "y", "z/x", "z/y", "z"]), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_ranks_do_not_move_when_nobody_comes_or_goes(places, random):
    members = [a_member(f"m{i}", i, place) for i, place in enumerate(places)]
    first = membership.rank(membership.choose(members, {}, 12), {})
    previous = {member.id: rank for rank, member in enumerate(first)}
    random.shuffle(members)
    again = membership.rank(membership.choose(members, previous, 12), previous)
    assert [member.id for member in again] == [member.id for member in first]
