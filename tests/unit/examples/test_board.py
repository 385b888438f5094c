"""The board: threads post what they see, the story waits until it is so."""

import threading

import pytest

from examples.demo.board import Board, StuckError
from examples.demo.training import Epoch


def job_with(kind):
    condition = {"type": kind, "status": "True", "message": "it is over"}
    return {"status": {"conditions": [condition]}}


def test_waiting_ends_when_another_thread_posts_it():
    board = Board()
    poster = threading.Timer(0.05, board.post_step, [Epoch(epoch=1, world_size=2)])
    poster.start()
    known = board.wait(lambda known: bool(known.steps), "an epoch", timeout_s=30)
    poster.join()
    assert known.steps == (Epoch(epoch=1, world_size=2),)


def test_waiting_in_vain_says_for_what_and_how_long():
    with pytest.raises(StuckError, match=r"^waited 0 s for round 1, in vain$"):
        Board().wait(lambda known: bool(known.rounds), "round 1", timeout_s=0)


@pytest.mark.parametrize("end", ["Failed", "Complete"])
def test_waiting_ends_at_once_when_the_job_is_over(end):
    board = Board()
    board.post_job(job_with(end))
    with pytest.raises(StuckError, match=f"waited for round 9, but the job is {end}: it is over"):
        board.wait(lambda _: False, "round 9", timeout_s=60)


def test_an_end_that_is_waited_for_is_no_trouble():
    board = Board()
    board.post_job(job_with("Complete"))
    assert board.wait(lambda known: known.holds("Complete"), "Complete", timeout_s=60)


def test_a_condition_that_is_not_there_does_not_hold():
    assert not Board().known.holds("Complete")
