"""Situations in which a machine is not as it should be."""

from __future__ import annotations

import os

from benchmarks.scoreboard.contenders import Contender
from benchmarks.scoreboard.job import HERE, ROOT, Job
from benchmarks.scoreboard.membership import ONE, TWO
from benchmarks.scoreboard.outcome import Outcome

STEADY_S = 12.0
DISTORTED = os.pathsep.join(map(str, (HERE / "distorted", ROOT, ROOT / "operator")))


def clock_off(contender: Contender) -> Outcome:
    """One node's clock is 20 s ahead; two nodes are to train, none can be spared."""
    ahead = {"PYTHONPATH": DISTORTED, "SCOREBOARD_CLOCK_AHEAD_S": "20"}
    with Job(contender, "2:2", apart=True) as job:
        agents = [job.start(TWO, environ=ahead)]
        job.attempted(agents[0])
        agents.append(job.start(ONE))
        if not job.wait(lambda: job.together(*agents), job.limit_s, unless=job.any_ended):
            return job.failed()
        mark = job.now()
        moved = job.wait(lambda: any(job.of(a, "entered", mark) for a in agents), STEADY_S)
        done = job.finish(*agents)
        if not done:
            return job.failed()
        return Outcome(not moved, "broken" if moved else "steady", job.fate())


def no_name(contender: Contender) -> Outcome:
    """The node's own host name cannot be resolved."""
    nameless = {"PYTHONPATH": DISTORTED, "SCOREBOARD_NO_NAME": "1"}
    with Job(contender, "1:1", apart=True) as job:
        # Spelled so that it is not seen at once to be this machine's own address.
        job.place.endpoint = job.place.endpoint.replace("127.0.0.1", "127.1")
        agent = job.start(ONE, environ=nameless, conf={"is_host": None})
        if not job.wait(lambda: job.together(agent), job.limit_s, unless=job.any_ended):
            return job.failed()
        return Outcome(job.finish(agent), "trains", job.fate())
