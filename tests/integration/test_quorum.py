"""Three real etcds as the operator starts them: one is lost with its disk, and comes back."""

import asyncio
import contextlib

import builders
import pytest
from etcd_cluster import EtcdCluster

from elasticjob_operator import api, store_facts
from elasticjob_operator.rounds import Rounds
from elasticjob_operator.stores import StoreError

pytestmark = pytest.mark.timeout(180)
LIMIT_S = 60.0
JOB = builders.a_job(rendezvous={"etcd": {"members": 3}})


@pytest.fixture
def cluster(tmp_path):
    with contextlib.closing(EtcdCluster(tmp_path, JOB)) as cluster:
        cluster.start(0, 1, 2)
        cluster.wait_until("readyz", 0, 1, 2)
        yield cluster


@pytest.fixture
async def link(cluster):
    """The operator's link to the store."""
    rounds = Rounds()
    told = api.RendezvousStatus(run_id=builders.RUN_ID)
    link = Followed(rounds, cluster.where, told)
    await link.until(lambda view: view.reachable)
    yield link
    await rounds.close()


class Followed:
    """A link, and a way to wait until its view is so."""

    def __init__(self, rounds, where, told):
        self._changed = asyncio.Event()
        self._link = rounds.follow(builders.JOB_UID, where, told, self._changed.set)
        self.write_settings, self.etcd = self._link.write_settings, self._link.etcd

    async def until(self, holds):
        async with asyncio.timeout(LIMIT_S):
            while not holds(self._link.view):
                self._changed.clear()
                await self._changed.wait()

    async def readmit(self, peer_url):
        """As the operator does, try again: etcd wants its members to have met for 5 s."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                with contextlib.suppress(StoreError):
                    return await self.etcd.readmit(peer_url)
                await asyncio.sleep(0.2)


def refusal(code, last_words):
    """What the operator reads in the status of a pod whose etcd ended so."""
    ended = {"exitCode": code, "message": last_words}
    entry = {"name": "etcd", "restartCount": 1, "state": {"terminated": ended}}
    pod = {"metadata": {"name": "s"}, "status": {"containerStatuses": [entry]}}
    return store_facts.store_pod(pod).refusal


async def test_a_member_that_lost_its_disk_is_refused_and_let_in_as_another(cluster, link):
    await link.write_settings(builders.settings())
    cluster.wipe(1)
    cluster.start(1)
    assert refusal(*cluster.end_of(1)) == "has already been bootstrapped"
    before = {member.id for member in await link.etcd.members()}
    for _ in range(2):  # the operator may have been killed after the first
        await link.readmit(cluster.peer_url(1))
    members = await link.etcd.members()
    assert len({member.id for member in members} & before) == 2
    assert [member.started for member in members].count(False) == 1

    # As it was started before, it cannot come, and ends.
    cluster.start(1)
    cluster.end_of(1)
    cluster.wipe(1)
    cluster.start(1, joining=True)
    cluster.wait_until("readyz", 1)
    assert all(member.started for member in await link.etcd.members())

    # Now the one that was filled by the others is needed.
    cluster.kill(0)
    cluster.wait_until("readyz", 1, 2)
    await link.write_settings(builders.settings(expected=3))
    await link.until(lambda view: view.settings == builders.settings(expected=3))


@pytest.mark.parametrize("killed", [0, 2], ids=["the first endpoint", "the last endpoint"])
async def test_the_operator_hears_the_store_while_a_quorum_is_there(cluster, link, killed):
    cluster.kill(killed)
    cluster.wait_until("readyz", *({0, 1, 2} - {killed}))
    await link.write_settings(builders.settings(expected=3))
    await link.until(lambda view: view.settings == builders.settings(expected=3))


async def test_without_a_quorum_a_member_lives_on_and_nobody_is_let_in(cluster, link):
    cluster.wipe(1)
    cluster.wipe(2)
    with pytest.raises(StoreError):
        await link.etcd.readmit(cluster.peer_url(1))
    assert cluster.is_(0, "livez")
    assert not cluster.is_(0, "readyz")
