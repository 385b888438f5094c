"""Situations in which agents come, go, fail and restart."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.scoreboard.agent import Agent
from benchmarks.scoreboard.contenders import Contender
from benchmarks.scoreboard.job import START_LIMIT_S, Job
from benchmarks.scoreboard.outcome import Outcome

ONE, TWO, THREE = "127.0.0.1", "127.0.0.2", "127.0.0.3"


def started(job: Job, *names: str, conf: Mapping[str, object] | None = None) -> list[Agent]:
    """Start agents and have them train together; the first one hosts the store if an agent does."""
    agents = [job.start(names[0], conf=conf)]
    if job.place.in_agent:
        job.attempted(agents[0])
    agents += [job.start(name, conf=conf) for name in names[1:]]
    if not job.wait(lambda: job.together(*agents), START_LIMIT_S, unless=job.any_ended):
        raise RuntimeError(f"the job does not start: {job.fate()}")
    return agents


def went_on(job: Job, agents: list[Agent], mark: int, began: float) -> Outcome:
    """The outcome when these agents are to train together again, and then to finish."""
    if not job.wait(lambda: job.together(*agents, since=mark), job.limit_s, unless=job.all_ended):
        return job.failed()
    took_s = max(e.at for e in map(job.entered, agents) if e) - began
    return Outcome(job.finish(*agents), f"{took_s:.1f} s", job.fate())


def grow(contender: Contender, first: str, second: str) -> Outcome:
    """One agent trains, another comes."""
    with Job(contender, "1:2") as job:
        soon = {"last_call_timeout": 1}
        (a,) = started(job, first, conf=soon)
        b = job.start(second, conf=soon)
        job.attempted(b)
        return went_on(job, [a, b], 0, b.attempted_at)


def scale_up(contender: Contender) -> Outcome:
    """A second node joins, and the first keeps rank 0."""
    return grow(contender, ONE, TWO)


def rank0_lost(contender: Contender) -> Outcome:
    """The node with rank 0 dies; its peers' collectives fail, and they must go on as two."""
    with Job(contender, "2:3", "--collective=gloo", apart=True) as job:
        agents = started(job, ONE, TWO, THREE)
        dead, mark, at = job.rank0(), job.now(), job.clock()
        job.kill(dead)
        return went_on(job, [agent for agent in agents if agent is not dead], mark, at)


def smaller_address(contender: Contender) -> Outcome:
    """A node joins whose address sorts before that of the node that trains."""
    return grow(contender, TWO, ONE)


def worker_restarts(contender: Contender) -> Outcome:
    """A worker fails once; at the restart one rank is two seconds late."""
    with Job(contender, "2:2", "--collective=gloo", "--late-s=2") as job:
        agents = started(job, ONE, TWO)
        mark = job.now()
        job.tell(f"fail.{agents[1].name}")
        seen = went_on(job, agents, mark, job.clock())
        rounds = max(len(job.of(agent, "entered", mark)) for agent in agents)
        return Outcome(seen.ok and rounds == 1, f"{rounds} restart(s)", seen.words)


def peer_lost(contender: Contender) -> Outcome:
    """A node dies while its peer's worker hangs in a collective, as NCCL's do."""
    with Job(contender, "1:2", apart=True) as job:
        a, b = started(job, ONE, TWO)
        mark, at = job.now(), job.clock()
        job.kill(b)
        seen = went_on(job, [a], mark, at)
        return Outcome(seen.ok and not job.restarts(), seen.figure, seen.words)


def late_joiner(contender: Contender) -> Outcome:
    """A third node gives up while the two that train are still stopping their workers."""
    with Job(contender, "2:3", "--stop-s=8", apart=True) as job:
        a, b = started(job, ONE, TWO)
        mark, at = job.now(), job.clock()
        late = job.start(THREE, conf={"join_timeout": 3})
        job.wait(lambda: job.ended(late), job.limit_s)
        seen = went_on(job, [a, b], mark, at)
        return Outcome(
            seen.ok and late.code == 1, "goes on" if seen.ok else seen.figure, seen.words
        )


def spare_not_needed(contender: Contender) -> Outcome:
    """The job ends while a third node waits for a place in it."""
    with Job(contender, "2:2", apart=True) as job:
        a, b = started(job, ONE, TWO)
        spare = job.start(THREE)
        job.attempted(spare)
        job.wait(job.any_ended, 3)  # torch says nowhere that it has taken note of a spare
        done = job.finish(a, b, spare)
        return Outcome(done, f"exit {spare.code}", job.fate())


def other_bounds(contender: Contender) -> Outcome:
    """The second node was started with other bounds than the first."""
    with Job(contender, "2:2", apart=True) as job:
        job.start(ONE, conf={"join_timeout": 15})
        second = job.start(TWO, "--nnodes=3:4", conf={"join_timeout": 15})
        job.attempted(second)
        job.wait(job.any_ended, job.limit_s)
        refused = [agent for agent in job.agents.values() if agent.code]
        told = [a for a in refused if "2:2" in a.last_error() and "3:4" in a.last_error()]
        if not refused:
            return job.failed()
        took_s = (told or refused)[0].waited_s
        return Outcome(bool(told), f"{took_s:.1f} s", job.fate())
