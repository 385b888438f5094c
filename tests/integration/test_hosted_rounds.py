"""The operator's link to a TCPStore in a host: what it hears and writes, over a real bridge."""

import asyncio
import contextlib

import builders
import pytest
from c10d_host import TOKEN, Feed
from rounds import enter

from elasticjob_operator import api
from elasticjob_operator.rounds import Rounds
from elasticjob_operator.stores import C10dHost
from rdzv_client import wire

pytest.importorskip("torch", reason="the training environment is not installed")

LIMIT_S = 60.0


class Followed:
    """A link, and a way to wait until its view is so."""

    def __init__(self, links, host, run, *, token=TOKEN, since=0):
        self._changed = asyncio.Event()
        told = api.RendezvousStatus(run_id=run.keys.run_id, round=since)
        where = C10dHost(host.url, token)
        self.link = links.follow(builders.JOB_UID, where, told, self._changed.set)

    @property
    def view(self):
        return self.link.view

    @property
    def formed(self):
        return {f.record.number: [rank.name for rank in f.ranks] for f in self.view.formed}

    async def until(self, holds):
        async with asyncio.timeout(LIMIT_S):
            while not holds(self.view):
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def links():
    links = Rounds()
    yield links
    await links.close()


def settings(expected, **more):
    return wire.Settings(1, 2, 4, expected, **more)


async def formed_by(*members):
    return await asyncio.to_thread(enter, *members)


async def test_rounds_are_heard_of_as_they_form_and_settings_seed_the_store(
    links, shared_host, hosted_run
):
    run = hosted_run(shared_host)
    followed = Followed(links, shared_host, run)
    await followed.until(lambda view: view.reachable)
    await followed.link.write_settings(settings(2))
    await followed.until(lambda view: view.settings == settings(2))
    a, b = run.member("a", 0), run.member("b", 1)
    await formed_by(a, b)
    await formed_by(a, b)
    await followed.until(lambda view: len(view.formed) == 2)
    assert followed.formed == {1: ["a", "b"], 2: ["a", "b"]}
    assert sorted(member.name for member in followed.view.members) == ["a", "b"]
    assert not any(formed.late for formed in followed.view.formed)


async def test_how_far_training_has_come_is_heard_while_and_after_it_is_told(
    links, shared_host, hosted_run, monkeypatch
):
    monkeypatch.setattr("elasticjob_operator.rounds.PROGRESS_EVERY_S", 0.0)
    run = hosted_run(shared_host)
    followed = Followed(links, shared_host, run)
    await followed.until(lambda view: view.reachable)
    await followed.link.write_settings(settings(2))
    a, b = run.member("a", 0), run.member("b", 1)
    await formed_by(a, b)
    said = wire.Progress(a._session.record.id, 1, 7, 1.5, {"loss": "0.2"})
    assert await asyncio.to_thread(a._session.backend.report, said)
    await followed.until(lambda view: [told.said for told in view.progress] == [said])
    links.unfollow(builders.JOB_UID)
    later = Followed(links, shared_host, run)
    await later.until(lambda view: [told.said for told in view.progress] == [said])


async def test_rounds_that_passed_before_it_listened_are_told_to_it(links, shared_host, hosted_run):
    run = hosted_run(shared_host)
    first = Followed(links, shared_host, run)
    await first.until(lambda view: view.reachable)
    links.unfollow(builders.JOB_UID)
    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    for _ in range(3):
        await formed_by(a, b)
    followed = Followed(links, shared_host, run, since=1)
    await followed.until(lambda view: len(view.formed) == 2)
    assert sorted(followed.formed) == [2, 3]


async def test_who_is_gone_or_asked_to_leave_is_told_to_the_members(links, shared_host, hosted_run):
    run = hosted_run(shared_host)
    followed = Followed(links, shared_host, run)
    await followed.until(lambda view: view.reachable)
    await followed.link.write_settings(settings(4))
    a, b, c, d = (run.member(name, slot) for slot, name in enumerate("abcd"))
    await formed_by(a, b, c, d)
    await followed.link.write_settings(settings(3))
    await followed.link.mark_gone("a", "its pod was deleted")  # the leader
    await formed_by(b, c, d)
    await followed.until(lambda view: "a" in view.gone and 2 in followed.formed)
    await followed.link.write_settings(settings(2))
    await followed.link.drain(["d"], "scaled in")
    await followed.until(lambda view: "d" in view.drains)
    await formed_by(b, c)
    await followed.until(lambda _: followed.formed.get(3) == ["b", "c"])
    await followed.until(lambda view: [left.cause for left in view.left] == ["drained"])


async def test_where_nodes_stand_is_told_to_the_members(links, shared_host, hosted_run):
    run = hosted_run(shared_host)
    followed = Followed(links, shared_host, run)
    await followed.until(lambda view: view.reachable)
    racks = {"node-a": "r1", "node-b": "r2", "node-c": "r1"}
    await followed.link.tell_sites([wire.Site(*site) for site in racks.items()])
    await followed.until(lambda view: view.sites == racks)
    await followed.link.write_settings(settings(3, sites=True))
    infos = await formed_by(*(run.member(n, i, node=f"node-{n}") for i, n in enumerate("abc")))
    assert [info.rank for info in infos] == [0, 2, 1]


async def test_an_empty_host_in_its_place_is_told_again_and_no_round_is_lost(
    links, own_host, hosted_run
):
    run = hosted_run(own_host)
    followed = Followed(links, own_host, run)
    await followed.until(lambda view: view.reachable)
    await followed.link.write_settings(settings(2))
    a, b = run.member("a", 0), run.member("b", 1)
    await formed_by(a, b)
    await followed.until(lambda _: 1 in followed.formed)
    await followed.link.drain(["elsewhere"], "scaled in")
    own_host.kill()
    await followed.until(lambda view: not view.reachable)
    assert own_host.url in followed.view.problem
    assert followed.formed == {1: ["a", "b"]}, "what is known is kept"
    own_host.start()
    await followed.until(lambda view: view.reachable)
    assert not own_host.is_ready(), "nobody has seeded it"
    await followed.link.write_settings(settings(2, round_floor=1))
    assert own_host.is_ready()
    await followed.until(
        lambda view: view.round and view.round.number == 1 and len(view.members) == 2
    )
    await followed.until(lambda view: "elsewhere" in view.drains)
    assert own_host.listing(run.keys)["documents"].get(run.keys.drain("elsewhere"))
    assert a.num_nodes_waiting() == b.num_nodes_waiting() == 0
    assert followed.formed == {1: ["a", "b"]}


async def test_a_frozen_host_is_found_out_and_heard_again(links, own_host, hosted_run, monkeypatch):
    monkeypatch.setattr("elasticjob_operator.stores.c10d.SILENCE_S", 1.0)
    monkeypatch.setattr("elasticjob_operator.stores.c10d.REQUEST_TIMEOUT_S", 1.0)
    followed = Followed(links, own_host, hosted_run(own_host))
    await followed.until(lambda view: view.reachable)
    own_host.freeze()
    await followed.until(lambda view: not view.reachable)
    own_host.thaw()
    await followed.until(lambda view: view.reachable)


async def test_a_host_that_does_not_know_the_operator_says_so(links, shared_host, hosted_run):
    followed = Followed(
        links, shared_host, hosted_run(shared_host), token="another-token-altogether"
    )
    await followed.link.first_contact(LIMIT_S)
    assert "refuses (401): the header Authorization" in followed.view.problem
    assert "another-token" not in repr(followed.link._where) + followed.view.problem


async def test_more_are_asked_to_leave_than_fit_into_one_request(links, shared_host, hosted_run):
    followed = Followed(links, shared_host, hosted_run(shared_host))
    await followed.until(lambda view: view.reachable)
    keys = followed.link._mirror.keys
    await followed.link.drain([f"uid-{index}" for index in range(250)], "scaled in")
    with contextlib.closing(Feed(shared_host, keys)) as feed:

        def all_are_told():
            return len(feed.all(wire.Drain, keys.drain_prefix)) == 250

        await asyncio.to_thread(feed.until, all_are_told)
