"""Every job is looked at after its last change, never twice at the same time."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from elasticjob_operator import workqueue
from elasticjob_operator.workqueue import Key, Retry, WorkQueue

ONE, TWO = Key("ml", "one"), Key("ml", "two")
SOON_S = 5.0


@asynccontextmanager
async def running(queue, work, workers=2):
    task = asyncio.create_task(queue.run(work, workers))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Work:
    """Notes which keys it was called for; each call waits until it is let go."""

    def __init__(self, *, held=False):
        self.calls = []
        self.called = asyncio.Condition()
        self.let_go = asyncio.Event()
        if not held:
            self.let_go.set()

    async def __call__(self, key):
        async with self.called:
            self.calls.append(key)
            self.called.notify_all()
        await self.let_go.wait()

    async def until(self, number):
        async with asyncio.timeout(SOON_S), self.called:
            await self.called.wait_for(lambda: len(self.calls) >= number)


async def test_a_job_added_many_times_is_looked_at_once():
    queue, work = WorkQueue(), Work()
    for _ in range(5):
        queue.add(ONE)
    queue.add(TWO)
    async with running(queue, work):
        await work.until(2)
        await asyncio.sleep(0)
    assert sorted(work.calls) == [ONE, TWO]


async def test_a_change_during_work_is_looked_at_afterwards_and_not_beside():
    queue, work = WorkQueue(), Work(held=True)
    queue.add(ONE)
    async with running(queue, work):
        await work.until(1)
        queue.add(ONE)
        queue.add(ONE)
        queue.add(TWO)
        await work.until(2)
        assert work.calls == [ONE, TWO], "a second look at ONE must wait for the first"
        work.let_go.set()
        await work.until(3)
    assert work.calls == [ONE, TWO, ONE]


@pytest.mark.parametrize("error", [Retry("not now"), ValueError("a fault")])
async def test_a_job_that_fails_comes_back_and_does_not_hold_up_the_others(error, monkeypatch):
    monkeypatch.setattr(workqueue, "BACKOFF_FIRST_S", 0.001)
    queue, work, failures = WorkQueue(), Work(), [error, error]

    async def fail_twice(key):
        await work(key)
        if key == ONE and failures:
            raise failures.pop()

    queue.add(ONE)
    queue.add(TWO)
    async with running(queue, fail_twice, workers=1):
        await work.until(4)
    assert work.calls.count(ONE) == 3
    assert work.calls.count(TWO) == 1


async def test_a_job_may_ask_to_be_looked_at_again():
    queue, work = WorkQueue(), Work()

    async def again_once(key):
        await work(key)
        return 0.001 if len(work.calls) == 1 else None

    queue.add(ONE)
    async with running(queue, again_once):
        await work.until(2)
    assert work.calls == [ONE, ONE]


async def test_a_job_that_is_added_does_not_wait_for_its_delay():
    queue, work = WorkQueue(), Work()
    queue.add_after(ONE, 3600)
    queue.add(ONE)
    async with running(queue, work):
        await work.until(1)
