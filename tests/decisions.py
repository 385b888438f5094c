"""What the operator decides on a snapshot, in short words for tables."""

from elasticjob_operator import actions, events, plan, report
from elasticjob_operator.settings import Settings

SETTINGS = Settings()


def planned(snapshot):
    return plan.plan(snapshot.observed, SETTINGS)


def kinds(snapshot):
    return [type(step).__name__ for step in planned(snapshot).actions]


def created(snapshot):
    return [s.name for s in planned(snapshot).actions if isinstance(s, actions.CreatePod)]


def deleted(snapshot):
    return [s.name for s in planned(snapshot).actions if isinstance(s, actions.DeletePod)]


def drained(snapshot):
    steps = [s for s in planned(snapshot).actions if isinstance(s, actions.Drain)]
    return [uid for step in steps for uid in step.uids]


def written(snapshot):
    return [s.settings for s in planned(snapshot).actions if isinstance(s, actions.WriteSettings)]


def marked_gone(snapshot):
    return [s.uid for s in planned(snapshot).actions if isinstance(s, actions.MarkGone)]


def told(snapshot):
    """Return the snapshot with the status that follows from it."""
    return snapshot.told(report.status(planned(snapshot), report.Outcome()))


def news(snapshot, outcome=None):
    """Return the events that go with the next status: reason and message."""
    decided, outcome = planned(snapshot), outcome or report.Outcome()
    found = events.events(decided, outcome, report.status(decided, outcome))
    return [(event.reason, event.message) for event in found]
