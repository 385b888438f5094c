"""What torchrun's agents run into, and what the rendezvous does about it.

The numbers are those of the table in ``docs/2026-11-25-traps.md``.
"""

import signal
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the training environment is not installed")

from elasticjob_operator.pods import UNLIMITED_RESTARTS

pytestmark = pytest.mark.timeout(300)

LIMIT_S = 100  # a safety net: torch is imported several times on the way
DOOMED = (str(Path(__file__).parent / "doomed_agent.py"),)
FINISHED = "worker group successfully finished"


def trained(job, *agents, since=0):
    assert job.wait(lambda: job.together(*agents, since=since), LIMIT_S), job.fate()


def test_trap_1_failures_beyond_torchs_limit_do_not_end_an_agent_of_the_operator(job):
    """Collectives fail within a second of a peer's loss; torchrun would count each as a restart."""
    run = job("2:2")
    agents = [
        run.start(n, f"--max-restarts={UNLIMITED_RESTARTS}") for n in ("127.0.0.1", "127.0.0.2")
    ]
    trained(run, *agents)
    for _ in range(5):
        mark = run.now()
        run.tell("fail.127.0.0.2")
        trained(run, *agents, since=mark)
    assert run.restarts() == 5
    assert run.finish(*agents), run.fate()


def test_trap_2_sigterm_before_the_first_workers_ends_an_agent_at_once(job):
    run = job("2:2")
    lonely = run.start("127.0.0.1")
    assert run.wait(lambda: lonely.says("no round was proposed yet"), LIMIT_S)
    lonely.process.send_signal(signal.SIGTERM)
    assert run.wait(lambda: run.ended(lonely), 15)
    assert lonely.code == 128 + signal.SIGTERM


def test_trap_3_a_peer_that_dies_while_ranks_are_exchanged_kills_no_agent(job):
    run = job("1:2")
    doomed = run.start("127.0.0.1", program=DOOMED)
    survivor = run.start("127.0.0.2")
    assert run.wait(lambda: run.ended(doomed), LIMIT_S)
    trained(run, survivor)
    assert run.restarts() == 0
    assert run.finish(survivor), run.fate()


@pytest.mark.parametrize("first", [0, 1], ids=["rank 0 finishes first", "rank 1 finishes first"])
def test_trap_4_a_finished_agent_does_not_wait_for_a_lost_peer(job, first):
    run = job("2:2")
    agents = [run.start("127.0.0.1"), run.start("127.0.0.2")]
    trained(run, *agents)
    agents.sort(key=lambda agent: run.entered(agent).more["rank"])
    done, other = agents[first], agents[1 - first]
    run.tell(f"finish.{done.name}")
    assert run.wait(lambda: done.says(FINISHED), LIMIT_S)
    mark = run.now()
    assert not run.wait(lambda: run.ended(done) or run.ended(other), 2), "the other one still works"
    assert run.of(other, "step", mark)
    run.kill(other)
    assert run.wait(lambda: run.ended(done), 30), "it sits in torch's exit barrier"
    assert done.code == 0


def test_trap_5_all_workers_are_told_the_address_where_rank_0_listens(job):
    run = job("3:3", "--collective=gloo")
    agents = [run.start(f"127.0.0.{n}") for n in (3, 1, 2)]
    trained(run, *agents)
    host, _, port = run.entered(agents[0]).more["master"].rpartition(":")
    assert host == run.rank0().name
    assert int(port) > 0
    assert run.finish(*agents), run.fate()
