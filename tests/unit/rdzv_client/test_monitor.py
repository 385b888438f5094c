"""Waiting for what several threads share: who is woken, and who is not."""

import threading

import pytest

from rdzv_client.monitor import Monitor

LIMIT_S = 20.0


class Waiter(threading.Thread):
    """Waits for a box to hold a value, and counts how often it was asked for."""

    def __init__(self, monitor, box, value, limit_s=LIMIT_S):
        super().__init__(daemon=True)
        self.asked_by, self.result = [], None
        self._asked = threading.Event()
        self._wait = lambda: monitor.wait_for(self._holds, limit_s)
        self._box, self._value = box, value
        self.start()
        assert self._asked.wait(LIMIT_S)
        with monitor:  # it lets go of the lock only when it waits
            pass

    def run(self):
        self.result = self._wait()

    def _holds(self):
        self.asked_by.append(threading.current_thread())
        self._asked.set()
        return self._box["value"] == self._value


@pytest.fixture
def monitor():
    return Monitor()


def put(monitor, box, value):
    with monitor:
        box["value"] = value
        monitor.notify()


def test_what_holds_already_is_not_waited_for(monitor):
    assert monitor.wait_for(lambda: True, 0)


def test_only_those_are_woken_for_whom_it_holds_now(monitor):
    box = {"value": 0}
    one, two = Waiter(monitor, box, 1), Waiter(monitor, box, 2)
    put(monitor, box, 1)
    one.join(LIMIT_S)
    assert one.result is True
    assert two.result is None
    put(monitor, box, 2)
    two.join(LIMIT_S)
    assert two.result is True
    assert two.asked_by.count(two) == 1  # when it began to wait, and never again


def test_what_held_when_it_was_told_counts_even_if_it_does_not_any_more(monitor):
    box = {"value": 0}
    waiter = Waiter(monitor, box, 1)
    with monitor:
        box["value"] = 1
        monitor.notify()
        box["value"] = 0
        monitor.notify()
    waiter.join(LIMIT_S)
    assert waiter.result is True


@pytest.mark.parametrize("limit_s", [-1.0, 0.0, 0.01])
def test_the_time_ends_the_wait(monitor, limit_s):
    box = {"value": 0}
    assert not monitor.wait_for(lambda: box["value"] == 1, limit_s)
    put(monitor, box, 1)  # nobody is left to be told


def test_a_wait_of_years_is_possible(monitor):
    box = {"value": 0}
    waiter = Waiter(monitor, box, 1, limit_s=1e12)
    put(monitor, box, 1)
    waiter.join(LIMIT_S)
    assert waiter.result is True
