"""What is new about a job that is being followed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from elasticjob_operator import api, conditions, timeline
from elasticjob_operator.timestamps import instant


@dataclass(frozen=True)
class Told:
    """What was told already."""

    round: int = 0
    state: str = ""


def since(told: Told, job: api.ElasticJob, now: datetime) -> tuple[list[str], Told]:
    """Return a line for each round and each state that was not told yet, and what is told then.

    A state that says nothing but the round is not told beside it.
    """
    rounds = [one for one in job.status.rendezvous.history if one.round > told.round]
    lines = [line for one in rounds for line in _round(one, now)]
    state = _state(job)
    if state != told.state and not any(state.endswith(timeline.words(one)) for one in rounds):
        lines.append(f"{now:%H:%M:%S}  {state}")
    return lines, Told(rounds[-1].round if rounds else told.round, state)


def _round(one: api.RoundRecord, now: datetime) -> list[str]:
    at = instant(one.formed_at) or now
    ranks = [f"          {timeline.ranks(one)}"] if one.members else []
    return [f"{at:%H:%M:%S}  {timeline.words(one)}", *ranks]


def _state(job: api.ElasticJob) -> str:
    """Return the phase, with the sentence that says why."""
    told = job.status.conditions
    end = next((condition for condition in told if conditions.ends_job(condition)), None)
    why = end or conditions.find(told, conditions.PROGRESSING)
    if why is None:
        return f"{job.status.phase}: no operator has looked at it yet"
    return f"{job.status.phase}: {why.message}"
