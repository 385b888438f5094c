"""What to show when the story got stuck: conditions, pods, events, and the last log lines."""

from __future__ import annotations

import shlex

from examples.demo.commands import CommandError, Tools
from examples.demo.release import DEPLOYMENT, NAMESPACE

LAST_LINES = 20
IN_NAMESPACE = f"--namespace={NAMESPACE}"
CONDITIONS = '{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\\n"}{end}'


def show_job(tools: Tools, job: str) -> None:
    """Print all that helps to see why `job` does not go on."""
    workers = f"--selector=rdzv.dev/job={job},rdzv.dev/role=worker"
    conditions = f"--output=jsonpath={CONDITIONS}"
    _show(tools, "kubectl", "get", f"elasticjob/{job}", conditions)
    _show(tools, "kubectl", "get", "pods", "--output=wide")
    _show(tools, "kubectl", "get", "events", "--sort-by=.metadata.creationTimestamp")
    _show(tools, "kubectl", "logs", workers, "--all-containers", "--prefix", f"--tail={LAST_LINES}")
    _show(tools, "kubectl", "logs", IN_NAMESPACE, DEPLOYMENT, f"--tail={LAST_LINES}")


def show_operator(tools: Tools) -> None:
    """Print all that helps to see why the operator does not run."""
    _show(tools, "kubectl", "get", "pods", IN_NAMESPACE, "--output=wide")
    _show(tools, "kubectl", "get", "events", IN_NAMESPACE, "--sort-by=.metadata.creationTimestamp")
    _show(tools, "kubectl", "logs", IN_NAMESPACE, DEPLOYMENT, f"--tail={LAST_LINES}")


def _show(tools: Tools, *words: str) -> None:
    """Show a command and the end of what it says, also if that is an error."""
    try:
        output = tools.ask(*words)
    except CommandError as error:
        output = str(error)
    tools.narrator.command(shlex.join(words))
    tools.narrator.text(output.splitlines()[-4 * LAST_LINES :])
