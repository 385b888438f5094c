"""A model trains with gloo on several agents of one machine, and everything happens to them."""

import signal

import pytest

from rdzv_client import etcdv3, wire

pytest.importorskip("torch", reason="the training environment is not installed")

pytestmark = pytest.mark.timeout(300)

STEADY_S = 6
LIMIT_S = 100  # a safety net: torch is imported several times on the way


def test_a_killed_worker_restarts_all_of_its_round(trio):
    job, mark = trio.job, trio.job.now()
    job.kill_worker(trio.agents[1])
    trio.train(*trio.agents, since=mark)


def test_survivors_of_a_killed_agent_train_on_and_a_newcomer_joins_them(trio):
    job, mark = trio.job, trio.job.now()
    victim = trio.agents.pop(1)
    job.kill(victim)
    trio.train(*trio.agents, since=mark)
    mark = job.now()
    trio.join()
    trio.train(*trio.agents, since=mark)


def test_an_agent_that_is_told_to_end_leaves_and_the_others_train_on(trio):
    job, mark = trio.job, trio.job.now()
    leaver = trio.agents.pop()
    leaver.process.send_signal(signal.SIGTERM)
    assert job.wait(lambda: job.ended(leaver), LIMIT_S)
    assert leaver.code == 1, "so torchrun ends on a signal when workers run"
    trio.train(*trio.agents, since=mark)


@pytest.mark.parametrize("emptied", [False, True], ids=["with its data", "empty"])
def test_a_store_that_is_killed_and_comes_back_disturbs_no_step(trio, emptied):
    job = trio.job
    if emptied:
        job.place.lose()
    else:
        job.place.server.kill()
    mark = job.now()
    job.wait(job.any_ended, STEADY_S / 2)
    job.place.replace()
    assert not job.wait(lambda: any(job.of(a, "entered", mark) for a in trio.agents), STEADY_S)
    assert all(job.of(agent, "step", mark) for agent in trio.agents)


def test_every_round_has_a_store_of_its_own(trio):
    job, mark = trio.job, trio.job.now()
    before = {event.more["master"] for event in job.events if event.event == "entered"}
    job.kill_worker(trio.agents[0])
    trio.train(*trio.agents, since=mark)
    assert job.entered(trio.agents[0]).more["master"] not in before


def test_a_worker_that_hangs_is_killed_and_all_go_on_when_the_round_is_said_to_stand_still(trio):
    """It does not even end when it is told to; its peers wait in a collective, and nobody fails."""
    job, mark = trio.job, trio.job.now()
    job.freeze_worker(trio.agents[1])
    keys = wire.Keys(job.run_id, "/torch/elastic/rendezvous")
    with etcdv3.Client([job.place.server.url]) as client:
        stands = wire.decode(wire.Round, keys.round, client.get(keys.round).value).number
        still = wire.Settings(1, 1, 3, 3, stalled_round=stands, stalled_reason="no step for 600 s")
        client.put(keys.settings, wire.encode(still))
    trio.train(*trio.agents, since=mark)
    assert all(agent.says("no step for 600 s") for agent in trio.agents)


def test_when_all_finish_all_agents_end_with_success(trio):
    """The last one: nobody is left to train afterwards."""
    assert trio.job.finish(*trio.agents), trio.job.fate()
