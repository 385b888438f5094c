"""Real agents that meet in a TCPStore which one of them hosts, until that one is lost.

Each test goes on where the one before ended.
"""

import dataclasses
import signal

import pytest

START_LIMIT_S = 90
LIMIT_S = 60


class Agents:
    """Up to three agents of one job, each new one with an address of its own."""

    def __init__(self, job):
        self.job = job
        self._numbers = iter(range(1, 255))
        self.alive = []

    def join(self):
        agent = self.job.start(f"127.0.0.{next(self._numbers)}", "--max-restarts=0")
        self.alive.append(agent)
        return agent

    def gather(self, count):
        """Have so many agents work together, the oldest of which hosts the store."""
        mark = 0 if len(self.alive) == count else self.job.now()
        while len(self.alive) < count:
            self.join()
        self.work_together(since=mark)
        return self.alive

    def lose(self, agent):
        mark = self.job.now()
        self.job.kill(agent)
        self.alive.remove(agent)
        self.work_together(since=mark)

    def work_together(self, since):
        done = self.job.wait(lambda: self.job.together(*self.alive, since=since), START_LIMIT_S)
        assert done, self.job.fate()


@pytest.fixture(scope="module")
def agents():
    from benchmarks.scoreboard.contenders import C10D
    from benchmarks.scoreboard.job import Job

    quick = dataclasses.replace(C10D, options={**C10D.options, "last_call_timeout": 2})
    with Job(quick, "1:3") as job:
        yield Agents(job)


def test_one_agent_hosts_the_store_and_the_others_find_it(agents):
    [first] = agents.gather(1)
    agents.gather(3)
    assert first.says("hosts the TCP store") or agents.job.rank0() is first


def test_a_lost_agent_costs_no_restart(agents):
    _, lost, _ = agents.gather(3)
    agents.lose(lost)


def test_a_lost_host_is_replaced_by_a_survivor_and_costs_no_restart(agents):
    host, *survivors = agents.gather(3)
    agents.lose(host)
    assert any(agent.says("Nobody hosts the store") for agent in survivors)


def test_a_newcomer_finds_the_new_host(agents):
    agents.gather(3)


def test_an_agent_that_is_told_to_stop_leaves_and_the_others_go_on(agents):
    *_, told = agents.gather(3)
    mark = agents.job.now()
    told.process.send_signal(signal.SIGTERM)
    agents.alive.remove(told)
    agents.work_together(since=mark)
    assert agents.job.wait(lambda: told.ended_at is not None, LIMIT_S)


def test_all_end_with_success_when_their_workers_do(agents):
    alive = agents.gather(2)
    assert agents.job.restarts() == 0
    assert agents.job.finish(*alive), agents.job.fate()


def test_a_paused_leader_is_replaced_and_comes_back_as_one_of_many():
    from benchmarks.scoreboard.contenders import C10D
    from benchmarks.scoreboard.job import Job

    quick = dataclasses.replace(C10D, options={**C10D.options, "last_call_timeout": 2})
    with Job(quick, "1:3", apart=True) as job:
        agents = Agents(job)
        [leader] = agents.gather(1)
        agents.gather(3)
        mark = job.now()
        leader.process.send_signal(signal.SIGSTOP)
        agents.alive.remove(leader)
        agents.work_together(since=mark)
        mark = job.now()
        leader.process.send_signal(signal.SIGCONT)
        agents.alive.append(leader)
        agents.work_together(since=mark)
        assert job.restarts() == 0
        assert job.finish(*agents.alive), job.fate()
