"""The operator's link to a job's store: what it hears and writes, and how it survives outages."""

import asyncio
import contextlib
from dataclasses import replace

import builders
import pytest
from builders import a_member, a_pod, a_round, progress, settings

from elasticjob_operator import api
from elasticjob_operator.rounds import Rounds
from elasticjob_operator.stores import Etcd
from rdzv_client import wire
from rdzv_client.etcdv3 import Client, messages

KEYS = wire.Keys(builders.RUN_ID)
LIMIT_S = 20.0


class Followed:
    """A link, and a way to wait until its view is so."""

    def __init__(self, stores, urls, since=0):
        self._changed = asyncio.Event()
        uid = builders.JOB_UID
        told = api.RendezvousStatus(run_id=builders.RUN_ID, revision=since)
        self.changed = self._changed.set
        self.link = stores.follow(uid, Etcd(tuple(urls)), told, self.changed)

    @property
    def view(self):
        return self.link.view

    async def until(self, holds):
        async with asyncio.timeout(LIMIT_S):
            while not holds(self.view):
                self._changed.clear()
                await self._changed.wait()

    async def until_rounds(self, *numbers):
        await self.until(lambda view: [r.record.number for r in view.formed] == list(numbers))


@pytest.fixture
async def stores():
    stores = Rounds()
    yield stores
    await stores.close()


@pytest.fixture
def workers(etcd):
    """What workers would write, written by hand."""
    with Client([etcd.url]) as client:
        yield client


def form(client, number, *pods):
    formed = a_round(number, *pods)
    ranks = [messages.put(KEYS.rank(rank.id), wire.encode(rank)) for rank in formed.ranks]
    proposed = replace(formed.record, phase="proposed", store=None)
    client.txn([], [*ranks, messages.put(KEYS.round, wire.encode(proposed))])
    client.put(KEYS.round, wire.encode(formed.record))


def break_up(client, number, *pods):
    broken = replace(a_round(number, *pods).record, phase="broken", store=None)
    client.put(KEYS.round, wire.encode(broken))


def register(client, pod):
    member = a_member(pod)
    client.put(KEYS.member(member.slot, member.id), wire.encode(member))


async def test_rounds_are_heard_of_as_they_form(stores, etcd, workers):
    followed = Followed(stores, [etcd.url])
    await followed.until(lambda view: view.reachable)
    form(workers, 1, a_pod(0), a_pod(1))
    await followed.until_rounds(1)
    form(workers, 2, a_pod(0))
    await followed.until_rounds(1, 2)
    assert [rank.name for rank in followed.view.formed[-1].ranks] == ["digits-0-0"]


def say(client, pod, number, step):
    said = progress(pod, number, step)
    client.put(KEYS.steps(said.id), wire.encode(said))


def steps(view):
    return [told.said.step for told in view.progress]


async def test_how_far_training_has_come_is_known_and_by_itself_no_reason_to_look_at_once(
    stores, etcd, workers, monkeypatch
):
    monkeypatch.setattr("elasticjob_operator.rounds.PROGRESS_EVERY_S", 3600.0)
    followed, looks = Followed(stores, [etcd.url]), []
    await followed.until(lambda view: view.reachable)
    form(workers, 1, a_pod(0), a_pod(1))
    await followed.until_rounds(1)
    followed.link._changed = lambda: (looks.append(steps(followed.view)), followed.changed())
    for step in range(5):
        say(workers, a_pod(0), 1, step)
    register(workers, a_pod(0))
    await followed.until(lambda view: view.members)
    assert looks == [[4]]


async def test_how_far_training_has_come_is_a_reason_to_look_after_a_while(
    stores, etcd, workers, monkeypatch
):
    monkeypatch.setattr("elasticjob_operator.rounds.PROGRESS_EVERY_S", 0.2)
    followed = Followed(stores, [etcd.url])
    await followed.until(lambda view: view.reachable)
    form(workers, 1, a_pod(0), a_pod(1))
    say(workers, a_pod(0), 1, 7)
    await followed.until(lambda view: steps(view) == [7])


async def test_rounds_that_passed_before_it_listened_are_read_from_the_stores_history(
    stores, etcd, workers
):
    form(workers, 1, a_pod(0), a_pod(1))
    seen_until = workers.get(KEYS.round).mod_revision
    for number in (2, 3):
        form(workers, number, a_pod(0), a_pod(1))
        break_up(workers, number, a_pod(0), a_pod(1))
    await Followed(stores, [etcd.url], since=seen_until).until_rounds(2, 3)


async def test_what_the_operator_writes_is_in_the_store(stores, etcd, workers):
    followed = Followed(stores, [etcd.url])
    await followed.until(lambda view: view.reachable)
    await followed.link.write_settings(settings(expected=3))
    await followed.until(lambda view: view.settings == settings(expected=3))


async def test_pods_are_asked_to_leave_in_one_step_and_stay_chosen(stores, etcd, workers):
    followed = Followed(stores, [etcd.url])
    await followed.until(lambda view: view.reachable)
    await followed.link.drain(["uid-1-0", "uid-2-0"], "scaled in")
    asked = workers.get_prefix(KEYS.drain_prefix)
    assert [kv.mod_revision for kv in asked.kvs] == [asked.revision] * 2, "one transaction"
    since = followed.view.drains["uid-1-0"].since
    workers.delete_prefix(KEYS.prefix)
    etcd.kill()
    await followed.until(lambda view: not view.reachable)
    etcd.start()
    await followed.until(lambda view: view.reachable)
    assert len(workers.get_prefix(KEYS.drain_prefix).kvs) == 2, "it is told again"
    assert followed.view.drains["uid-1-0"].since == since


async def test_more_are_asked_to_leave_than_fit_into_one_step(stores, etcd, workers):
    followed = Followed(stores, [etcd.url])
    await followed.until(lambda view: view.reachable)
    await followed.link.drain([f"uid-{index}" for index in range(250)], "scaled in")
    assert len(workers.get_prefix(KEYS.drain_prefix).kvs) == 250


async def test_a_pod_that_is_gone_takes_its_members_with_it_in_one_step(stores, etcd, workers):
    for pod in (a_pod(0), a_pod(1)):
        register(workers, pod)
    followed = Followed(stores, [etcd.url])
    await followed.until(lambda view: len(view.members) == 2)
    await followed.link.mark_gone("uid-1-0", "its pod was deleted")
    gone = workers.get(KEYS.gone("uid-1-0"))
    assert wire.decode(wire.Gone, KEYS.gone("uid-1-0"), gone.value).reason == "its pod was deleted"
    members = workers.get_prefix(KEYS.members).kvs
    assert [kv.key for kv in members] == [KEYS.member(0, "uid-0-0.0")]
    assert workers.get_prefix(KEYS.prefix).revision == gone.mod_revision, "one transaction"


async def test_a_store_that_was_away_is_heard_again_and_nothing_is_missed(stores, etcd, workers):
    form(workers, 1, a_pod(0), a_pod(1))
    followed = Followed(stores, [etcd.url])
    await followed.until_rounds(1)
    etcd.kill()
    await followed.until(lambda view: not view.reachable)
    assert followed.view.formed, "what is known is kept"
    assert etcd.url in followed.view.problem
    await followed.link.mark_gone("uid-1-0", "its pod was deleted")
    etcd.start()
    await followed.until(lambda view: view.reachable and "uid-1-0" in view.gone)
    form(workers, 2, a_pod(0))
    await followed.until_rounds(1, 2)


async def test_a_store_that_comes_back_empty_is_seen_to_be_empty(stores, etcd, workers):
    followed = Followed(stores, [etcd.url])
    for number in (1, 2, 3):
        form(workers, number, a_pod(0), a_pod(1))
    await followed.until_rounds(1, 2, 3)
    etcd.empty()
    etcd.start()
    await followed.until(lambda view: view.reachable and view.round is None)
    form(workers, 4, a_pod(0), a_pod(1))
    await followed.until_rounds(1, 2, 3, 4)


async def test_one_of_several_endpoints_is_enough(stores, etcd, workers):
    followed = Followed(stores, ["http://127.0.0.1:1", etcd.url])
    await followed.until(lambda view: view.reachable)
    form(workers, 1, a_pod(0), a_pod(1))
    await followed.until_rounds(1)


async def test_a_store_that_never_answers_is_said_so_soon(stores):
    followed = Followed(stores, ["http://127.0.0.1:1"])
    await followed.link.first_contact(LIMIT_S)
    assert not followed.view.reachable
    assert "http://127.0.0.1:1: " in followed.view.problem


async def test_a_store_that_is_no_longer_followed_is_left_alone(stores, etcd):
    followed = Followed(stores, [etcd.url])
    await followed.until(lambda view: view.reachable)
    stores.unfollow(builders.JOB_UID)
    assert stores.link(builders.JOB_UID) is None


async def test_where_nodes_stand_is_told_and_what_was_not_written_is_not_taken_for_told(
    stores, etcd, workers
):
    followed = Followed(stores, [etcd.url])
    await followed.until(lambda view: view.reachable)
    many = [wire.Site(f"node-{index}", "rack-1") for index in range(250)]
    await followed.link.tell_sites(many)
    await followed.until(lambda view: len(view.sites) == 250)
    etcd.kill()
    await followed.link.tell_sites([wire.Site("node-0", "rack-2")])
    etcd.start()
    await followed.until(lambda view: view.reachable)
    assert followed.view.sites["node-0"] == "rack-1", "so that it is told again"


@pytest.fixture
async def endless():
    """The URL of what answers every request, and never comes to an end."""
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"

    async def answer(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(chunk)
                await writer.drain()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_answer_without_end_is_cut_off(stores, endless, monkeypatch):
    monkeypatch.setattr("elasticjob_operator.stores.gateway.MESSAGE_BYTES", 1024 * 1024)
    followed = Followed(stores, [endless])
    await followed.until(lambda view: view.problem == "an answer of more than 1048576 bytes")
