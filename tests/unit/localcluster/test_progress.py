"""A wait ends when the thing is there, when it cannot come any more, or when the time is over."""

from pathlib import Path

import pytest

from localcluster import progress
from localcluster.errors import LocalClusterError


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "etcd.log"
    path.write_text("".join(f"line {number}\n" for number in range(100)))
    return path


def test_it_returns_once_the_thing_is_there(log: Path) -> None:
    answers = iter([False, False, True])
    progress.wait_until(lambda: next(answers), "etcd", timeout_s=30, log=log)


def test_out_of_time_it_names_the_thing_and_shows_the_end_of_the_log(log: Path) -> None:
    with pytest.raises(LocalClusterError, match=r"etcd: not after 0 ms") as late:
        progress.wait_until(lambda: False, "etcd", timeout_s=0.0, log=log)
    assert str(log) in str(late.value)
    assert str(late.value).endswith("line 98\nline 99")
    assert "line 84\n" not in str(late.value)


def test_it_does_not_wait_for_what_has_ended(log: Path) -> None:
    with pytest.raises(LocalClusterError, match="etcd: it ended"):
        progress.wait_until(lambda: False, "etcd", timeout_s=3600, log=log, alive=lambda: False)


def test_a_missing_log_is_said_to_be_missing(tmp_path: Path) -> None:
    assert progress.tail(tmp_path / "none.log") == "(there is no log)"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "40 ms"), (0.14, "0.1 s"), (12.34, "12.3 s"), (60.0, "1 min"), (601.0, "10 min")],
)
def test_durations_are_spelt_as_people_say_them(seconds: float, words: str) -> None:
    assert progress.spell(seconds) == words
