"""What a benchmark makes of its figures."""

import json

import pytest

from benchmarks import chart, table
from benchmarks.comparison import Case, NotMeasured, alone, compare, times_better
from benchmarks.sample import Sample


class Side:
    """Gives figures one after another; a text stands for why there is none."""

    def __init__(self, *figures):
        self._figures = list(figures)
        self.sizes = []

    def __call__(self, n, limit_s):
        self.sizes.append(n)
        figure = self._figures.pop(0)
        if isinstance(figure, str):
            raise NotMeasured(figure)
        return figure


def rows_of(ours, *peers, sizes=(2,), **fields):
    named = {f"peer {i}": peer for i, peer in enumerate(peers)}
    return list(compare(Case("case", sizes, "s", {"etcd": ours}, named, **fields), 10))


def test_a_row_has_the_medians_and_how_many_times_better_ours_is():
    (row,) = rows_of(Side(1.0, 9.0, 2.0), Side(20.0, 10.0, 90.0))
    assert row.document() == {
        "case": "case/etcd",
        "n": 2,
        "ours": 2.0,
        "peer": 20.0,
        "peer_name": "peer 0",
        "unit": "s",
        "ratio": 10.0,
        "runs": 3,
    }


def test_of_rates_more_is_better():
    assert times_better(200.0, 100.0, more_is_better=True) == 2.0
    assert times_better(200.0, 100.0, more_is_better=False) == 0.5


@pytest.mark.parametrize(("ours", "peer"), [(None, 1.0), (1.0, None), (0.0, 1.0), (1.0, 0.0)])
def test_nothing_is_compared_with_what_is_not_there(ours, peer):
    assert times_better(ours, peer, more_is_better=False) is None


def test_who_does_not_finish_has_no_figure_and_a_note():
    (row,) = rows_of(Side(1.0, 1.0, 1.0), Side(2.0, "not finished within 10 s"))
    assert (row.peer, row.ratio, row.note) == (None, None, "not finished within 10 s")


def test_who_does_not_finish_is_not_tried_at_larger_sizes():
    peer = Side("not finished within 10 s")
    *_, last = rows_of(Side(*[1.0] * 9), peer, sizes=(2, 4, 8))
    assert peer.sizes == [2]
    assert last.note == ("not finished within 10 s (at a smaller size; not tried at this one)")


def test_ours_may_not_finish_either():
    (row,) = rows_of(Side("not finished within 10 s"), Side(2.0, 2.0, 2.0))
    assert (row.ours, row.peer, row.note) == (None, 2.0, "ours: not finished within 10 s")


def test_ours_and_the_peers_take_turns():
    order = []

    def side(name):
        def measure(n, limit_s):
            order.append(name)
            return 1.0

        return measure

    rows_of(side("ours"), side("a"), side("b"))
    assert order == ["ours", "a", "b"] * 3


def test_ours_on_two_stores_are_compared_with_the_same_runs_of_the_peer():
    ours = {"etcd": Side(1.0, 1.0, 1.0), "c10d": Side(2.0, 2.0, 2.0)}
    case = Case("case", (2,), "s", ours, {"torch": Side(4.0, 4.0, 4.0)})
    assert [(row.case, row.ratio) for row in compare(case, 10)] == [
        ("case/etcd", 4.0),
        ("case/c10d", 2.0),
    ]


def test_a_bound_is_shown_beside_ours_on_its_own_store_and_at_all_sizes():
    ours = {"etcd": Side(*[1.0] * 6), "c10d": Side(*[1.0] * 6)}
    bounds = {"c10d": ("bound", Side(*[0.5] * 6))}
    case = Case("case", (2, 4), "s", ours, {"torch": Side(*[1.0] * 3)}, bounds, peers_up_to=2)
    shown = [(row.case, row.n, row.peer) for row in compare(case, 10) if row.peer_name == "bound"]
    assert shown == [("case/c10d", 2, 0.5), ("case/c10d", 4, 0.5)]


def test_only_what_is_asked_for_is_measured():
    case = Case("case", (2,), "s", {"etcd": Side(), "c10d": Side(1.0, 1.0, 1.0)})
    (row,) = compare(case.only(lambda name: name == "case/c10d"), 10)
    assert row.case == "case/c10d"


def test_a_case_on_no_store_in_particular_has_its_bare_name():
    (row,) = compare(Case("case", (2,), "s", alone(Side(1.0)), runs=1), 10)
    assert (row.case, row.runs) == ("case", 1)


def test_when_it_is_late_each_size_is_measured_once():
    case = Case("case", (2, 4), "s", {"etcd": Side(*[1.0] * 2)})
    assert [row.runs for row in compare(case, 10, lambda: True)] == [1, 1]


def test_figures_that_come_together_are_measured_together():
    taken = []

    def measure(n, limit_s):
        taken.append(n)
        return [{"bytes": 10.0 * n, "seconds": float(len(taken))}]

    sample = Sample(measure)
    of_bytes, of_seconds = sample.of("bytes"), sample.of("seconds")
    assert [of_bytes(2, 1), of_bytes(2, 1)] == [20.0, 20.0]
    assert [of_seconds(2, 1), of_seconds(2, 1)] == [1.0, 2.0]
    assert taken == [2, 2]


def test_one_measurement_may_give_the_figures_of_several_runs():
    of_bytes = Sample(lambda n, limit_s: [{"bytes": 1.0}, {"bytes": 2.0}]).of("bytes")
    assert [of_bytes(2, 1), of_bytes(2, 1)] == [1.0, 2.0]


def test_figures_that_could_not_be_taken_together_are_not_tried_one_by_one():
    side = Side("no such server")
    sample = Sample(side)
    for name in ("bytes", "seconds"):
        with pytest.raises(NotMeasured, match="no such server"):
            sample.of(name)(2, 1)
    assert side.sizes == [2]


def test_each_peer_has_a_row():
    rows = rows_of(Side(1.0, 1.0, 1.0), Side(2.0, 2.0, 2.0), Side(3.0, 3.0, 3.0))
    assert [(row.peer_name, row.ratio) for row in rows] == [("peer 0", 2.0), ("peer 1", 3.0)]


def test_a_case_without_a_peer_has_a_row():
    (row,) = rows_of(Side(1.0, 1.0, 1.0))
    assert json.loads(json.dumps(row.document()))["peer"] is None


def test_beyond_a_size_peers_are_left_out_and_it_says_so():
    peer = Side(*[2.0] * 3)
    rows = rows_of(Side(*[1.0] * 9), peer, sizes=(2, 4, 8), peers_up_to=2)
    assert peer.sizes == [2, 2, 2]
    assert rows[-1].note == "not measured at this size"


def test_the_table_shows_medians_and_ranges():
    text = table.of(rows_of(Side(0.5, 0.25, 1.0), Side(2000.0, 1000.0, 3000.0)))
    assert "0.5 [0.25..1]" in text
    assert "2,000 [1,000..3,000]" in text


def formation(sizes, figure):
    ours = Side(*[figure(n) for n in sizes for _ in range(3)])
    peer = Side(*[2.0 * n**2 for n in sizes for _ in range(3)])
    case = Case("formation", sizes, "s", {"etcd": ours}, {"<torch>": peer})
    return list(compare(case, 10))


def test_the_exponent_of_a_curve_is_its_slope_on_logarithmic_axes():
    curves = chart.curves(formation((2, 8, 32), lambda n: 3.0 * n), "formation/etcd")
    assert chart.exponent(curves["ours"]) == pytest.approx(1.0)
    assert chart.exponent(curves["<torch>"]) == pytest.approx(2.0)


def test_the_drawing_is_well_formed_and_names_who_is_in_it():
    import xml.etree.ElementTree as ET

    drawing = ET.fromstring(chart.growth(formation((2, 8, 32), float)))
    words = {element.text for element in drawing.iter() if element.text}
    assert {"ours", "<torch>", "Round on etcd: seconds"} <= words


def test_a_drawing_of_nothing_is_empty():
    assert "polyline" not in chart.growth([])
