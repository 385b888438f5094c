"""What a script says of its progress, and what the store is told of it."""

import json
import logging
import os
import re
from pathlib import Path

import pytest

from rdzv_client import progress, wire
from rdzv_client.backends import StoreUnavailable
from rdzv_client.progress.folder import MAX_BYTES, Folder, NotUnderstood, Said, parse
from rdzv_client.progress.herald import Herald, Place


def write(folder, name, **said):
    """Write what a process says of itself as any script may."""
    new = folder / f"{name}.new"
    new.write_text(json.dumps(said))
    new.replace(folder / f"{name}.json")


# --- the script's part -------------------------------------------------------------------------


def test_a_script_says_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv(progress.FOLDER, str(tmp_path))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert progress.report(step=7, epoch=1.5, metrics={"loss": 0.25}, step_seconds=0.125)
    assert [path.name for path in tmp_path.iterdir()] == ["1.json"]
    said = Folder(tmp_path).furthest()
    assert (said.step, said.epoch, said.metrics, said.step_s) == (7, 1.5, {"loss": "0.25"}, 0.125)


def test_the_lines_that_are_recommended_say_the_same(tmp_path, monkeypatch):
    page = (Path(__file__).parents[3] / "docs" / "jobs.md").read_text()
    lines = next(part for part in page.split("```") if progress.FOLDER in part and "python" in part)
    monkeypatch.setenv("LOCAL_RANK", "1")
    names = {"os": os, "json": json, "Path": Path, "step": 7, "epoch": 1.5, "loss": 0.25}
    monkeypatch.delenv(progress.FOLDER, raising=False)
    exec(lines.removeprefix("python"), names)
    monkeypatch.setenv(progress.FOLDER, str(tmp_path))
    exec(lines.removeprefix("python"), names)
    assert [path.name for path in tmp_path.iterdir()] == ["1.json"]
    said = Folder(tmp_path).furthest()
    assert (said.step, said.epoch, said.metrics) == (7, 1.5, {"loss": "0.25"})


def test_where_nobody_wants_to_know_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv(progress.FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    assert not progress.report(step=7)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_does_not_end_training(tmp_path, monkeypatch):
    monkeypatch.setenv(progress.FOLDER, str(tmp_path / "none"))
    assert not progress.report(step=7)


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"step": 3}', Said(3)),
        ('{"step": 3, "epoch": null, "metrics": null, "later": [1]}', Said(3)),
        ('{"step": 0, "epoch": 2}', Said(0, 2.0)),
        ('{"step": 3, "metrics": {"loss": NaN}}', Said(3, metrics={"loss": "nan"})),
        (
            '{"step": 3, "metrics": {"a": 123456789, "b": -1e-9}}',
            Said(3, metrics={"a": "1.23457e+08", "b": "-1e-09"}),
        ),
    ],
)
def test_what_a_script_may_say(content, said):
    assert parse(content.encode(), 0.0) == said


def test_the_first_metrics_are_taken():
    many = {f"m{number:02}": number for number in range(20)}
    said = parse(json.dumps({"step": 1, "metrics": many}).encode(), 0.0)
    assert list(said.metrics) == list(many)[: wire.MAX_METRICS]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not valid JSON"),
        ("[" * 9000, "not valid JSON"),
        ("7", "a JSON object such as {'step': 1}, not 7"),
        ("{}", "step must be a whole number from 0, not None"),
        ('{"step": true}', "not True"),
        ('{"step": 1.5}', "not 1.5"),
        ('{"step": -1}', "not -1"),
        ('{"step": 1, "epoch": "two"}', "epoch must be a number from 0, not 'two'"),
        ('{"step": 1, "step_seconds": NaN}', "step_seconds must be a number from 0, not nan"),
        ('{"step": 1, "metrics": [1]}', "metrics must be an object of numbers by name"),
        ('{"step": 1, "metrics": {"a b": 1}}', "the name of a metric may not be 'a b'"),
        ('{"step": 1, "metrics": {"loss": "low"}}', "must be a number, not 'low'"),
        ('{"step": 1, "metrics": {"loss": 1%s}}' % ("0" * 400), "is too large"),
    ],
)
def test_what_is_no_progress_is_refused_with_a_sentence(content, words):
    with pytest.raises(NotUnderstood, match=re.escape(words)):
        parse(content.encode(), 0.0)


def test_rubbish_is_said_once_and_keeps_nobody_from_being_heard(tmp_path, caplog):
    folder = Folder(tmp_path)
    (tmp_path / "0.json").write_text("rubbish")
    (tmp_path / "1.json").mkdir()
    (tmp_path / "2.json").write_text(" " * (MAX_BYTES + 1))
    (tmp_path / "3.json").symlink_to(tmp_path / "0.json")
    os.mkfifo(tmp_path / "4.json")
    write(tmp_path, "5", step=3)
    for _ in range(2):
        assert folder.furthest().step == 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "0.json says of progress (said once): it is not valid JSON" in caplog.text


def test_the_process_that_has_come_furthest_speaks_for_its_node(tmp_path):
    folder = Folder(tmp_path)
    assert folder.furthest() is None
    for name, step in (("0", 4), ("1", 5), ("2", 5)):
        write(tmp_path, name, step=step, epoch=int(name))
    assert (folder.furthest().step, folder.furthest().epoch) == (5, 1.0)
    write(tmp_path, "0", step=6)
    assert folder.furthest().step == 6


def test_a_folder_that_nobody_made_is_an_empty_one(tmp_path):
    folder = Folder(tmp_path / "none")
    folder.clear()
    assert folder.furthest() is None


# --- telling -----------------------------------------------------------------------------------


class Store:
    """Takes what is told, or does not."""

    def __init__(self):
        self.told, self.away, self.registered = [], False, True

    def tell(self, said):
        if self.away:
            raise StoreUnavailable("away")
        if self.registered:
            self.told.append(said)
        return self.registered

    @property
    def steps(self):
        return [said.step for said in self.told]


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def herald(tmp_path, store, monkeypatch):
    """One that looks when it is told to."""
    monkeypatch.setattr("rdzv_client.progress.herald.LOOK_EVERY_S", 3600.0)
    herald = Herald(Folder(tmp_path), "pod.1", store.tell)
    herald.begin(Place(3, rank=0, world_size=2))
    yield herald
    herald._thread = None
    herald.end()


def test_what_is_news_is_told_once(herald, store, tmp_path):
    herald._look()
    write(tmp_path, "0", step=5, epoch=1, metrics={"loss": 0.5})
    herald._look()
    herald._look()
    assert store.told == [wire.Progress("pod.1", 3, 5, 1.0, {"loss": "0.5"})]


def test_news_that_come_soon_after_others_wait(herald, store, tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("rdzv_client.progress.herald.time.monotonic", lambda: now[0])
    for step, at in ((5, 100.0), (6, 101.0), (7, 101.9), (8, 102.1)):
        now[0] = at
        write(tmp_path, "0", step=step)
        herald._look()
    assert store.steps == [5, 8]


@pytest.mark.parametrize(
    ("rank", "world_size", "period_s"),
    [(0, 2, 2.0), (1, 100, 2.0), (1, 1000, 20.0), (0, 1000, 2.0)],
)
def test_members_of_a_large_round_tell_less_often_but_for_the_first(rank, world_size, period_s):
    assert Place(1, rank, world_size).period_s == period_s


@pytest.mark.parametrize("trouble", ["away", "registered"])
def test_what_the_store_did_not_take_is_told_again(herald, store, tmp_path, trouble):
    setattr(store, trouble, trouble == "away")
    write(tmp_path, "0", step=5)
    herald._look()
    assert store.steps == []
    setattr(store, trouble, trouble != "away")
    herald._look()
    assert store.steps == [5]


def test_the_pace_is_told_from_one_word_to_the_next(herald, store, tmp_path):
    for step, at in ((5, 10.0), (10, 12.0), (10, 13.0), (4, 14.0)):
        write(tmp_path, "0", step=step)
        os.utime(tmp_path / "0.json", (at, at))
        herald._due = 0.0
        herald._look()
    assert [said.steps_per_second for said in store.told] == [None, 2.5, None, None]


def test_the_median_of_what_steps_take_is_told_when_there_were_some(herald, store, tmp_path):
    for step, step_s in enumerate((9.0, 0.1, 0.9, 0.2, 0.12345)):
        write(tmp_path, "0", step=step, step_seconds=step_s)
        herald._due = 0.0
        herald._look()
    assert [said.step_s for said in store.told] == [None, None, None, None, 0.2]


def test_between_rounds_nothing_is_told_and_the_old_words_go(herald, store, tmp_path):
    write(tmp_path, "0", step=5)
    herald.pause()
    herald._look()
    herald.begin(Place(4, rank=1, world_size=2))
    herald._look()
    assert store.told == []
    write(tmp_path, "0", step=2)
    herald._look()
    assert [(said.round, said.step) for said in store.told] == [(4, 2)]


def test_the_last_of_it_is_told_at_the_end(tmp_path, store):
    herald = Herald(Folder(tmp_path), "pod.1", store.tell)
    herald.begin(Place(1, rank=0, world_size=2))
    write(tmp_path, "0", step=45)
    herald.end()
    assert store.steps == [45]
