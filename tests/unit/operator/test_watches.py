"""A watch on which nothing comes is stuck, unless the API server could not be reached."""

from elasticjob_operator.health import Health
from elasticjob_operator.watches import Watches
from elasticjob_operator.workqueue import Key, WorkQueue

LIMIT_S = 300.0


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def seen(clock):
    watches = Watches(["elasticjobs", "pods"], clock)
    return watches, Health(watches, WorkQueue(), LIMIT_S)


def test_until_all_was_listed_it_lives_and_is_not_ready():
    watches, health = seen(Clock())
    watches.open("pods")
    assert health.stuck() == []
    assert health.unready() == ["the elasticjobs were not listed yet"]
    watches.open("elasticjobs")
    assert health.unready() == []


def test_a_watch_that_is_silent_for_too_long_is_named_with_its_silence():
    clock = Clock()
    watches, health = seen(clock)
    clock.now += 290
    watches.hear("elasticjobs")
    assert health.stuck() == []
    clock.now += 20
    assert health.stuck() == ["nothing was heard of pods for 310 s, 300 s is too long"]
    watches.hear("pods")
    assert health.stuck() == []


def test_an_api_server_that_is_away_is_no_fault_of_the_watch():
    clock = Clock()
    watches, health = seen(clock)
    for _ in range(10):
        clock.now += 100
        watches.excuse("pods")
        watches.excuse("elasticjobs")
    assert health.stuck() == []
    assert watches.silence_s() == {"elasticjobs": 1000.0, "pods": 1000.0}


def test_a_job_that_is_in_work_for_too_long_is_named():
    clock = Clock()
    queue = WorkQueue(clock)
    health = Health(Watches([], clock), queue, LIMIT_S)
    with queue.in_work(Key("ml", "one")):
        clock.now += 899
        assert health.stuck() == []
        clock.now += 2
        assert health.stuck() == ["ml/one is in work for 901 s, 900 s is too long"]
    assert health.stuck() == []
