"""How a worker's pod ended, and on whose account: training's own, or the infrastructure's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from elasticjob_operator import last_words
from elasticjob_operator.pod_facts import CANNOT_START, Container, WorkerPod

SIGKILL_CODE: Final = 128 + 9
SIGTERM_CODE: Final = 128 + 15
MESSAGE_CHARS: Final = 1024


Account = Literal["success", "own", "infrastructure", "ignored"]


@dataclass(frozen=True)
class Ending:
    """One pod's end.

    Attributes:
        account: ``success``; ``own`` counts against maxRestarts; ``infrastructure`` never does,
            nor does ``ignored``, where the failure policy puts it.
        reason: One word for programs.
        message: A part of a sentence whose subject is the pod.
    """

    account: Account
    reason: str
    message: str
    exit_code: int | None = None

    @property
    def cannot_start(self) -> bool:
        """Whether the container's command could not even be started."""
        return self.reason in CANNOT_START


VANISHED: Final = Ending("infrastructure", "PodDeleted", "was deleted")


def classify(pod: WorkerPod) -> Ending:
    """Say how the pod, which ended or is being deleted, came to its end."""
    training, code = pod.training, pod.training.exit_code
    if pod.succeeded:
        return Ending("success", "Completed", "ended with success", 0)
    if pod.lost:
        message = f"was lost with its node {pod.node}, {pod.lost}"
        return Ending("infrastructure", "NodeLost", message)
    if pod.disruption or pod.phase_reason == "Evicted":
        words = pod.disruption or pod.phase_message or "Evicted"
        return Ending("infrastructure", "Disrupted", f"was taken away ({words})", code)
    if pod.deleting:
        return Ending("infrastructure", "PodDeleted", "was deleted", code)
    if training.state != "terminated":
        return _never_ran(pod)
    return _terminated(training)


def _terminated(training: Container) -> Ending:
    code = training.exit_code
    if training.reason == "OOMKilled":
        return Ending("infrastructure", "OOMKilled", "was killed for lack of memory", code)
    if training.reason in CANNOT_START:
        return Ending("own", training.reason, f"cannot start: {_tail(training.message)}", code)
    if code in {SIGKILL_CODE, SIGTERM_CODE} or training.signal in {9, 15}:
        return Ending("infrastructure", "Killed", f"was killed (exit code {code})", code)
    message = f"failed with exit code {code}{_because(training.message)}"
    return Ending("own", training.reason or "Error", message, code)


def _never_ran(pod: WorkerPod) -> Ending:
    if pod.failed_init:
        init = pod.failed_init
        message = f"failed in its init container {init.container}, exit code {pod.init_exit_code}"
        message += _because(init.message)
        return Ending("own", "InitContainerFailed", message, pod.init_exit_code)
    words = pod.phase_message or "the kubelet gave no message"
    reason = pod.phase_reason or "PodFailed"
    return Ending("infrastructure", reason, f"was ended by its node ({reason}: {words})")


def _because(log: str) -> str:
    """Quote the one line of a container's last output that says what went wrong."""
    said = last_words.read(log).line
    return f": {said}" if said else ""


def _tail(text: str) -> str:
    return text.strip()[-MESSAGE_CHARS:]
