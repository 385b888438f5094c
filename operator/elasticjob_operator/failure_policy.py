"""The failure policy as users write it; what it does is in :mod:`policies.failures`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from elasticjob_operator.model import Model

MAX_RULES = 20
MAX_RESTARTS_PER_WINDOW = 100
MAX_NODES = 32
"""How many nodes with failures are remembered; those with the latest."""

Operator = Literal["In", "NotIn"]
Word = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$", max_length=63)]


class OnExitCodes(Model):
    """Holds by the exit code of a container."""

    container_name: Annotated[str, Field(max_length=63)] | None = None
    """Which container. Defaults to the training container, and then also holds for a worker that
    failed inside a pod that lives on, as far as torchrun's log tells its exit code."""
    operator: Operator
    """In: the exit code is one of the values. NotIn: it is none of them. 0 is never a failure."""
    values: Annotated[
        tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(min_length=1, max_length=255)
    ]
    """Exit codes."""


class OnSignals(Model):
    """Holds by the signal that ended the training."""

    operator: Operator
    """In: the signal is one of the values. NotIn: it is another one. Neither holds for training
    that no signal ended."""
    values: Annotated[
        tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=64)
    ]
    """Numbers of signals, such as 9 for SIGKILL and 11 for SIGSEGV."""


class OnPodCondition(Model):
    """A condition of the pod."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    """Its type, such as DisruptionTarget."""
    status: Literal["True", "False", "Unknown"] = "True"
    """Its status."""
    reason: Word | None = None
    """Its reason, such as PreemptionByScheduler; any when left out."""


class FailureRule(Model):
    """What to do about one kind of failure; exactly one of the `on...` fields says which kind."""

    action: Literal["Ignore", "RestartPod", "FailJob"]
    """Ignore: go on, and count it nowhere. RestartPod: go on, and count it against maxRestarts and
    the budget, also where it is the infrastructure's. FailJob: the job is Failed at once."""
    on_exit_codes: OnExitCodes | None = None
    """Holds by the exit code of a container."""
    on_signals: OnSignals | None = None
    """Holds by the signal that ended the training."""
    on_reasons: Annotated[tuple[Word, ...], Field(min_length=1, max_length=32)] | None = None
    """Holds if the pod shows one of these words as the reason of its end, such as OOMKilled, Error,
    Evicted, Preempted, DeadlineExceeded, NodeLost, NodeShutdown or InitContainerFailed; or
    WorkerFailed, for a worker that failed inside a pod that lives on, or TrainingStalled, for a
    round that was ended by progressDeadlineSeconds."""
    on_pod_conditions: (
        Annotated[tuple[OnPodCondition, ...], Field(min_length=1, max_length=20)] | None
    ) = None
    """Holds if the pod has one of these conditions."""


class FailureBudget(Model):
    """How often training may fail by itself within a while."""

    window_seconds: Annotated[int, Field(ge=1, le=31_536_000)]
    """How long the while is; it ends with the last failure."""
    max_restarts_per_window: Annotated[int, Field(ge=0, le=MAX_RESTARTS_PER_WINDOW)]
    """How many failures it may hold; one more, and the job is Failed. maxRestarts limits their
    number over the whole run all the same."""


class AvoidNodes(Model):
    """From which node new pods are kept away for a while."""

    failures: Annotated[int, Field(ge=1, le=20)]
    """From one where pods of this job failed so often: by themselves, killed, evicted by the node,
    or lost with it. Pods that people or the scheduler take away do not count, nor do failures that
    a rule says to Ignore. Failures in the same second are one."""
    window_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 3600
    """Within so long. A node is no longer avoided when the first of these failures is older."""
    mode: Literal["Preferred", "Required"] = "Preferred"
    """Preferred: a pod that finds room nowhere else goes there all the same. Required: it waits."""


class FailurePolicy(Model):
    """What happens when workers fail."""

    rules: Annotated[tuple[FailureRule, ...], Field(max_length=MAX_RULES)] = ()
    """In their order; the first that holds decides. Without one, lost nodes, evictions, deleted
    pods and containers killed for memory are replaced and do not count, and all else is replaced
    and counts against maxRestarts."""
    budget: FailureBudget | None = None
    """How often training may fail by itself within a while; without it, only maxRestarts counts."""
    avoid_nodes: AvoidNodes | None = None
    """Keeps new pods off nodes where pods of this job failed again and again. None is avoided when
    left out."""
    no_progress_rounds: Annotated[int, Field(ge=1, le=1000)] | None = None
    """The job is Failed when so many rounds in a row were ended by failures of training itself
    before they had stood for progressSeconds. Never when left out."""
    progress_seconds: Annotated[int, Field(ge=1, le=604_800)] = 60
    """How long a round must stand to be taken for progress."""
    progress_deadline_seconds: Annotated[int, Field(ge=5, le=604_800)] | None = None
    """How long a round may go on without a step of training before it is ended, its workers are
    stopped and start anew, and it counts as a failure of training. Of steps is only known what the
    script tells (see status.progress): nothing is done about one that never does. It must be longer
    than anything that the script does between two steps. Until the first step after a restart,
    three times as long is allowed. No limit when left out."""
