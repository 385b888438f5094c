"""What kubeflow's jobs, and pytorch/elastic's after them, say about a run."""

from __future__ import annotations

from typing import Any, Final

from elasticjob_operator.conversion.fields import Fields, Manifest

SCHEDULERS: Final = {"volcano": "Volcano", "scheduler-plugins-scheduler": "Coscheduling"}
RESTART_POLICIES: Final = ("Always", "OnFailure", "Never", "ExitCode")
RETRYABLE_FROM: Final = 128
TORCHRUN_RESTARTS: Final = "torchrun's restarts and those of pods count together here"


def read(fields: Fields) -> Manifest:
    """Return ``spec.runPolicy``."""
    found = {
        "suspend": fields.take("suspend"),
        "activeDeadlineSeconds": fields.integer("activeDeadlineSeconds"),
        "ttlSecondsAfterFinished": fields.integer("ttlSecondsAfterFinished"),
        # What they do without it; here, Running is what is done.
        "cleanPodPolicy": fields.word("cleanPodPolicy", "Running", "All", "None") or "None",
    }
    return {name: value for name, value in found.items() if value is not None}


def gang(fields: Fields, scheduler: str | None, least: int) -> Manifest | None:
    """Return ``spec.gangScheduling``, where it is known whose PodGroup is meant."""
    if "schedulingPolicy" not in fields:
        return None
    policy = fields.child("schedulingPolicy")
    queue, wanted = policy.word("queue"), policy.integer("minAvailable")
    policy.leave_out("give it to the pods, as template.spec.priorityClassName", "priorityClass")
    policy.leave_out(
        "a PodGroup's minimum is minReplicas", "minResources", "scheduleTimeoutSeconds"
    )
    known = SCHEDULERS.get(scheduler or "")
    if known is None:
        words = "is left out: gangScheduling.scheduler must say whose PodGroup it is"
        fields.note("schedulingPolicy", words)
        return None
    if wanted is not None and wanted != least:
        policy.note("minAvailable", f"is minReplicas here, {least} and not {wanted}")
    if queue and known != "Volcano":
        policy.note("queue", "is left out: only Volcano has one")
        queue = None
    return {"scheduler": known, **({"queue": queue} if queue else {})}


def restarts(
    fields: Fields, role: Fields, agents: int | None
) -> tuple[int | None, Manifest | None]:
    """Return ``spec.maxRestarts`` and ``spec.failurePolicy``.

    Args:
        fields: Where ``backoffLimit`` stands.
        role: Where ``restartPolicy`` stands.
        agents: How often torchrun was to start its workers again.
    """
    restart_policy = role.word("restartPolicy", *RESTART_POLICIES)
    pods = fields.integer("backoffLimit")
    most = None if agents is None and pods is None else max(agents or 0, pods or 0)
    if agents and pods:
        fields.note("backoffLimit", f"is part of maxRestarts, {most}: {TORCHRUN_RESTARTS}")
    if restart_policy == "Never":
        return agents or 0, None
    if restart_policy != "ExitCode":
        return most, None
    if agents:
        words = f"is left out: exit codes below {RETRYABLE_FROM} are restarted, too"
        role.note("restartPolicy", f"{words}, up to maxRestarts ({most})")
        return most, None
    codes: dict[str, Any] = {"operator": "In", "values": list(range(1, RETRYABLE_FROM))}
    return most, {"rules": [{"action": "FailJob", "onExitCodes": codes}]}
