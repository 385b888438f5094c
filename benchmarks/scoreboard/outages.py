"""Situations in which the store fails, or remembers an earlier job."""

from __future__ import annotations

from benchmarks.scoreboard.contenders import Contender
from benchmarks.scoreboard.job import Job
from benchmarks.scoreboard.membership import ONE, THREE, TWO, started, went_on
from benchmarks.scoreboard.outcome import Outcome

FINISHED = "worker group successfully finished"
REACTION_S = 15.0


def store_lost(contender: Contender) -> Outcome:
    """The machine with the store dies: with the first agent, or alone, and is replaced."""
    with Job(contender, "1:3") as job:
        host, *others = started(job, ONE, TWO, THREE)
        if job.place.in_agent:
            mark, at = job.now(), job.clock()
            job.kill(host)
            return went_on(job, others, mark, at)
        job.place.lose()
        mark = job.now()
        job.wait(job.any_ended, 3)  # the outage is to last longer than a request
        job.place.replace()
        agents = (host, *others)
        kept = job.wait(
            lambda: all(job.of(agent, "step", mark) for agent in agents),
            job.limit_s,
            unless=job.any_ended,
        )
        moved = any(job.of(agent, "entered", mark) for agent in agents)
        done = job.finish(*agents)
        return Outcome(kept and done and not moved, "0 restarts" if kept else "lost", job.fate())


def store_frozen(contender: Contender) -> Outcome:
    """The store answers nobody and refuses nobody; do the agents still look after their workers?"""
    with Job(contender, "2:2", apart=True) as job:
        agents = started(job, ONE, TWO)
        job.place.freeze()
        job.wait(job.any_ended, 3)  # until the agents' next question has met the frozen store
        at = job.clock()
        job.tell("finish")
        seen = job.wait(lambda: all(a.says(FINISHED) for a in agents), REACTION_S)
        took_s = job.clock() - at
        job.place.thaw()
        done = job.finish(*agents)
        if not seen:
            return Outcome(False, f"blind for {REACTION_S:.0f} s", job.fate())
        return Outcome(done, f"{took_s:.1f} s", job.fate())


def id_used_again(contender: Contender) -> Outcome:
    """All machines of a job die; it is started anew under its id, on other machines."""
    with Job(contender, "2:2", apart=True) as old:
        for agent in started(old, ONE, TWO):
            old.kill(agent)
        with Job(contender, "2:2", run_id=old.run_id, place=old.place) as new:
            agents = [new.start(THREE), new.start("127.0.0.4")]
            new.attempted(*agents)
            seen = went_on(new, agents, 0, max(agent.attempted_at for agent in agents))
            everlasting = new.place.everlasting(new.run_id)
            words = f"{everlasting} keys without a lease; {seen.words}"
            return Outcome(seen.ok and not everlasting, seen.figure, words)
