"""Jobs of real torchrun agents on this machine, in the environment that the operator gives them."""

import dataclasses
from contextlib import ExitStack

import pytest

START_LIMIT_S = 120  # a safety net: torch is imported several times on the way


@pytest.fixture
def job():
    """Make jobs in the environment of a pod, ended with the test."""
    from benchmarks.scoreboard.contenders import K8S
    from benchmarks.scoreboard.job import Job

    with ExitStack() as stack:
        yield lambda nodes, *worker: stack.enter_context(Job(K8S, nodes, *worker))


class Trio:
    """Three agents that train with gloo, replaced as tests kill them."""

    def __init__(self, job, flags):
        self.job, self._flags = job, flags
        self._numbers = iter(range(1, 255))
        self.agents = []

    def complete(self):
        """Have three agents train together."""
        self.agents = [agent for agent in self.agents if agent.ended_at is None]
        mark = 0 if len(self.agents) == 3 else self.job.now()
        while len(self.agents) < 3:
            self.join()
        self.train(*self.agents, since=mark)

    def join(self):
        name = f"127.0.0.{next(self._numbers)}"
        agent = self.job.start(name, *self._flags)
        self.agents.append(agent)
        return agent

    def train(self, *agents, since):
        """Wait until these train together, and no others."""
        trained = self.job.wait(lambda: self.job.together(*agents, since=since), START_LIMIT_S)
        assert trained, self.job.fate()


@pytest.fixture(scope="module")
def shared_trio():
    from benchmarks.scoreboard.contenders import ETCD
    from benchmarks.scoreboard.job import Job
    from elasticjob_operator.pods import UNLIMITED_RESTARTS

    quick = dataclasses.replace(ETCD, options={**ETCD.options, "last_call_timeout": 10})
    with Job(quick, "1:3", "--collective=gloo") as job:
        yield Trio(job, [f"--max-restarts={UNLIMITED_RESTARTS}", "--shutdown-timeout=3"])


@pytest.fixture
def trio(shared_trio):
    """The same three agents for all tests of a module, whole again before each of them."""
    shared_trio.complete()
    return shared_trio
