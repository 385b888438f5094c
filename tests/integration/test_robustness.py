"""What the operator survives: a slow, busy or absent API server, cut watches, and its own end."""

import itertools

import pytest

FOUR = [f"digits-{index}-0" for index in range(4)]
OUTAGE_LIMIT_S = 90.0


@pytest.fixture
def operator(operators, interference):
    return operators(server=interference.url)


@pytest.fixture
def digits(operator, job):
    """A job of two workers that trains."""
    return job().start()


def assert_made_once(digits, *names):
    """Nothing was made twice: each index stands once, and each creation was told once."""
    digits.until_pods(*names)
    assert_each_stands_once(digits)
    told = [message for reason, message in digits.events() if reason == "WorkersCreated"]
    made = [name for message in told for name in message.removeprefix("made ").split(", ")]
    assert sorted(made) == sorted(set(made))


def assert_each_stands_once(digits):
    indices = [name.split("-")[1] for name in digits.pods()]
    assert len(indices) == len(set(indices))


def test_an_api_server_that_answers_late_is_waited_for(digits, interference, kubectl):
    interference.delay_s = 1.0
    kubectl("scale", "ej/digits", "--replicas=4")
    assert_made_once(digits, *FOUR)


def test_refusals_of_a_busy_api_server_are_tried_again(digits, interference, kubectl):
    turn = itertools.count()
    statuses = {0: 429, 2: 503}
    interference.refuse = lambda method, path: (
        statuses.get(next(turn) % 4) if method != "GET" else None
    )
    kubectl("scale", "ej/digits", "--replicas=4")
    assert_made_once(digits, *FOUR)
    digits.remove("digits-3-0")
    assert_made_once(digits, *FOUR[:3], "digits-3-1")
    digits.until(lambda: digits.status["restarts"]["infrastructure"] == 1, "it to be counted once")
    assert interference.refused[429] >= 1
    assert interference.refused[503] >= 1


def test_conflicts_are_tried_again(digits, interference, kubectl):
    turn = itertools.count()
    interference.refuse = lambda method, path: (
        409 if method == "PATCH" and next(turn) % 2 == 0 else None
    )
    kubectl("scale", "ej/digits", "--replicas=3")
    digits.until_pods(*FOUR[:3])
    digits.join("digits-2-0")
    digits.form(2, *FOUR[:3])
    digits.until(lambda: digits.status["rendezvous"]["round"] == 2, "the round to be told")
    assert interference.refused[409] >= 1
    assert digits.reasons().count("RoundFormed") == 2


def test_watches_that_are_cut_again_and_again_lose_no_change(digits, interference, kubectl):
    for replicas in (4, 2, 3, 4):
        kubectl("scale", "ej/digits", f"--replicas={replicas}")
        interference.cut()
    digits.until(lambda: len(digits.pods()) == 4, "four pods")
    assert_each_stands_once(digits)  # some may have been made twice: they were deleted in between


def test_what_happens_while_the_api_server_is_away_is_caught_up_with(
    digits, interference, operator, kubectl
):
    with interference.away():
        kubectl("scale", "ej/digits", "--replicas=4")
        digits.remove("digits-1-0")
    names = ["digits-0-0", "digits-1-1", "digits-2-0", "digits-3-0"]
    digits.until(lambda: digits.pods() == names, "the pods", OUTAGE_LIMIT_S)
    digits.until(lambda: digits.status["restarts"]["infrastructure"] == 1, "it to be counted")
    assert digits.members() == ["digits-0-0"]
    assert operator.is_alive()


def test_an_operator_that_is_killed_again_and_again_makes_each_worker_once(operators, job, kubectl):
    operator, names = operators(), [f"digits-{index}-0" for index in range(12)]
    digits = job(maxReplicas=12, minReplicas=2, replicas=2).start()
    kubectl("scale", "ej/digits", "--replicas=12")
    for reached in (3, 6, 9):
        digits.until(lambda reached=reached: len(digits.pods()) >= reached, f"{reached} pods")
        operator.kill()
        assert len(digits.pods()) == len({name.split("-")[1] for name in digits.pods()})
        operator.start()
    digits.until_pods(*names)
    digits.until(lambda: digits.status["replicas"] == 12, "the status to tell of all")
    assert digits.status["restarts"]["infrastructure"] == 0
    assert digits.status["failed"] == 0
