"""What to show when the story got stuck: conditions, pods, events, and the last log lines."""

from __future__ import annotations

from examples.demo.commands import CommandError, Tools
from examples.demo.release import DEPLOYMENT, NAMESPACE

LAST_LINES = 20
CONDITIONS = '{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\\n"}{end}'


def show(tools: Tools, job: str) -> None:
    """Print all that helps to see why `job` does not go on; a command that fails says so."""
    resource = f"elasticjob/{job}"
    selector = f"--selector=rdzv.dev/job={job},rdzv.dev/role=worker"
    for words in (
        ("kubectl", "get", resource, f"--output=jsonpath={CONDITIONS}"),
        ("kubectl", "get", "pods", "--output=wide"),
        ("kubectl", "get", "events", "--sort-by=.metadata.creationTimestamp"),
        ("kubectl", "logs", selector, "--all-containers", "--prefix", f"--tail={LAST_LINES}"),
        ("kubectl", "logs", f"--namespace={NAMESPACE}", DEPLOYMENT,
         f"--tail={LAST_LINES}"),
    ):  # fmt: skip
        try:
            output = tools.ask(*words)
        except CommandError as error:
            output = str(error)
        tools.narrator.command(" ".join(words))
        tools.narrator.text(output.splitlines()[-4 * LAST_LINES :])
