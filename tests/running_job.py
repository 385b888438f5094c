"""A job that runs on a cluster, with all that is seen of it."""

import dataclasses
import json
from datetime import datetime

from kubectl import until

from examples.demo.board import Board
from examples.demo.commands import Tools

ROUND_LIMIT_S = 120
OURS = (
    "pods,services,statefulsets,serviceaccounts,secrets,configmaps,roles,rolebindings,"
    "poddisruptionbudgets,networkpolicies,persistentvolumeclaims,horizontalpodautoscalers"
)


@dataclasses.dataclass(frozen=True)
class Job:
    """A job that runs, with all that is seen of it."""

    name: str
    tools: Tools
    board: Board

    @property
    def known(self):
        return self.board.known

    def wait(self, what, until, timeout_s=ROUND_LIMIT_S):
        return self.board.wait(until, what, timeout_s)

    def scale(self, replicas):
        self.tools.show("kubectl", "scale", f"elasticjob/{self.name}", f"--replicas={replicas}")

    def kill(self, pod):
        self.tools.show("kubectl", "delete", f"pod/{pod}", "--grace-period=0", "--force")

    def delete(self):
        self.tools.show("kubectl", "delete", f"elasticjob/{self.name}", timeout_s=60)

    def finish(self):
        """Have the workers of the last round, which tick, end with success; wait for Complete."""
        for pod in self.known.rounds[-1].members:
            self.tools.ask("kubectl", "exec", pod, "--", "touch", "/tmp/finish")
        return self.wait("Complete", lambda known: known.holds("Complete"))

    def pods(self):
        """The names of its worker pods that exist now."""
        selector = f"--selector=rdzv.dev/job={self.name},rdzv.dev/role=worker"
        return self.tools.ask("kubectl", "get", "pods", selector, "--output=name").split()

    def events(self):
        """What was told about it, oldest first: when, reason, message."""
        about = f"involvedObject.kind=ElasticJob,involvedObject.name={self.name}"
        selector = f"--field-selector={about}"
        listed = json.loads(self.tools.ask("kubectl", "get", "events", selector, "--output=json"))
        found = [(one["lastTimestamp"], one["reason"], one["message"]) for one in listed["items"]]
        return [(datetime.fromisoformat(at), *words) for at, *words in sorted(found)]

    def until_told(self, reason, message):
        """Wait for an event: it is posted after the status that it tells of."""

        def told():
            return (reason, message) in [(words[1], words[2]) for words in self.events()]

        until(told, f"the event {reason}: {message}")

    def wait_until_nothing_remains(self):
        """Wait until no object that was made for the job exists any more."""
        selector = f"--selector=rdzv.dev/job={self.name}"
        self.tools.show(
            *("kubectl", "wait", "--for=delete", OURS, selector, "--timeout=90s"), timeout_s=100
        )
        assert not self.tools.ask("kubectl", "get", OURS, selector, "--output=name")


def restarts_of(known):
    """What the infrastructure brought about, and what counts."""
    told = known.job["status"]["restarts"]
    return told["infrastructure"], told["counted"]
