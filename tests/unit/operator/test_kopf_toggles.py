"""kopf's objects wait for each other at a bounded cost when the operator starts."""

import asyncio

from kopf._cogs.aiokits import aiotoggles
from kopf._core.reactor import orchestration

from elasticjob_operator import kopf_toggles


class Counting(kopf_toggles.SparingToggleSet):
    """Counts how often somebody who waits has looked."""

    looks = 0

    def is_on(self):
        self.looks += 1
        return super().is_on()


async def looks_of(count):
    """Let so many objects be indexed one after another while all of them wait."""
    toggles = Counting(all)
    objects = [await toggles.make_toggle(name=str(i)) for i in range(count)]
    waiting = [asyncio.create_task(toggles.wait_for(True)) for _ in objects]
    for one in objects:
        await asyncio.sleep(0)
        await toggles.drop_toggle(one)
    await asyncio.wait_for(asyncio.gather(*waiting), 10)
    return toggles.looks


async def test_all_are_woken_once_the_last_is_indexed_and_none_before():
    few, many = await looks_of(20), await looks_of(200)
    assert many <= 12 * few


async def test_who_waits_for_the_other_state_is_woken_too():
    toggles = kopf_toggles.SparingToggleSet(all)
    waiting = asyncio.create_task(toggles.wait_for(False))
    await asyncio.sleep(0)
    one = await toggles.make_toggle()
    await asyncio.wait_for(waiting, 10)
    waiting = asyncio.create_task(toggles.wait_for(True))
    await toggles.drop_toggles([one])
    await asyncio.wait_for(waiting, 10)


def test_kopf_makes_its_sets_by_the_name_that_is_replaced(monkeypatch):
    monkeypatch.setattr(aiotoggles, "ToggleSet", aiotoggles.ToggleSet)
    kopf_toggles.install()
    assert orchestration.aiotoggles.ToggleSet is kopf_toggles.SparingToggleSet
