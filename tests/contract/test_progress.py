"""What members say of their training over every kind of store that an operator listens to."""

from contextlib import ExitStack

import pytest
from rounds import Run, enter, told, until

from rdzv_client import replica, wire
from rdzv_client.progress.folder import Folder
from rdzv_client.progress.herald import Herald

pytest.importorskip("torch", reason="the training environment is not installed")

pytestmark = pytest.mark.parametrize("shared_store", ["etcd", "etcd3", "c10d"], indirect=True)


@pytest.fixture
def run(shared_store):
    with ExitStack() as stack:
        yield Run(shared_store, stack)


def progress(handler, step):
    return wire.Progress(handler._session.record.id, 1, step)


def report(handler, step):
    return handler._session.backend.report(progress(handler, step))


def steps(run):
    return [said.step for said in run.store.progress(run.keys)]


def test_what_a_member_says_stands_in_the_store_as_long_as_the_member_is_there(run):
    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    assert not report(a, 1)
    enter(a, b)
    assert report(a, 5)
    assert report(b, 4)
    assert sorted(steps(run)) == [4, 5]
    assert report(a, 6)
    assert sorted(steps(run)) == [4, 6]
    a.shutdown()
    until(lambda: steps(run) == [4])


def test_what_a_script_writes_is_told_and_what_it_wrote_before_is_not(run, tmp_path):
    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    a._herald = Herald(Folder(tmp_path), a._session.record.id, a._session.backend.report)
    (tmp_path / "0.json").write_text('{"step": 3}')
    enter(a, b)
    assert not list(tmp_path.iterdir())
    (tmp_path / "0.json").write_text('{"step": 8, "metrics": {"loss": 0.5}}')
    until(lambda: steps(run) == [8])
    [said] = run.store.progress(run.keys)
    assert (said.round, said.metrics) == (1, {"loss": "0.5"})


def test_no_member_hears_of_it_not_even_who_leads_or_comes_to_lead(run, monkeypatch):
    heard = []
    put = replica.Replica.put

    def note(self, record, now):
        heard.append(record.key)
        put(self, record, now)

    monkeypatch.setattr(replica.Replica, "put", note)
    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    enter(a, b)
    assert report(a, 5)
    assert report(b, 5)
    run.settings(expected=1, low=1)
    until(lambda: heard[-1] == run.keys.settings)
    a.shutdown()
    until(lambda: b._session.backend.leading)
    assert not [key for key in heard if "steps/" in key]


def test_a_round_that_stands_still_ends_when_the_operator_says_so(run):
    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    enter(a, b)
    run.settings(expected=2, stalled_round=1, stalled_reason="no step for 600 s in round 1")
    assert told(a, b)
    assert [info.world_size for info in enter(a, b)] == [2, 2]
    round_ = a._session.round
    assert (round_.number, round_.cause) == (2, "stalled")
    assert round_.reason == "no step for 600 s in round 1"
    assert (a.num_nodes_waiting(), b.num_nodes_waiting()) == (0, 0)
