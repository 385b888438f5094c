"""Kubeflow's TrainJob (trainer.kubeflow.org/v1alpha1), where it says itself what its nodes run.

What it leaves to its runtime stands in another object, which a converter of files does not see.
"""

from __future__ import annotations

from typing import Any, Final

from elasticjob_operator.conversion import template
from elasticjob_operator.conversion.fields import Fields, Manifest, NotConvertible
from elasticjob_operator.conversion.sizes import Size, nproc

CONTROLLERS_OWN: Final = "trainer.kubeflow.org/trainjob-controller"
TRAINER: Final = "node"
IN_THE_RUNTIME: Final = "put what it says of the pods into the template"


def spec(fields: Fields) -> Manifest:
    """Return the ElasticJob's spec; what was not read is left in the fields."""
    runtime, trainer = fields.child("runtimeRef"), fields.child("trainer")
    name = runtime.take("name")
    fields.note("runtimeRef", f"is left out: what the runtime {name} says is not carried over")
    runtime.take("apiGroup"), runtime.take("kind")
    fields.leave_out("an init container in the template can do the same", "initializer")
    fields.leave_out(IN_THE_RUNTIME, "runtimePatches", "podTemplateOverrides", "podSpecOverrides")
    worker = _worker(trainer, name)
    nodes = trainer.integer("numNodes")
    if nodes is None:
        trainer.note("numNodes", f"is not given, and 1 is taken: the runtime {name} may say more")
    trainer.note("", "is not elastic: lower minReplicas to have training go on after a loss")
    size = Size.within(nodes or 1, nodes or 1, nodes or 1, trainer)
    made = {
        **size.fields,
        "nprocPerNode": nproc(worker.launch.nproc, trainer.take("numProcPerNode")),
        "maxRestarts": worker.launch.max_restarts,
        "managedBy": _managed_by(fields),
        "runPolicy": _run_policy(fields),
        "template": worker.manifest,
    }
    return {name: value for name, value in made.items() if value not in (None, {})}


def _worker(trainer: Fields, runtime: Any) -> template.Template:
    for needed in ("image", "command"):
        if needed not in trainer:
            raise NotConvertible(
                f"{trainer.path}.{needed} is not given: it stands in the runtime {runtime},"
                " which is not in this file; write it into the TrainJob first"
            )
    container = {
        "name": TRAINER,
        "image": trainer.take("image"),
        "command": trainer.items("command"),
        "args": trainer.items("args"),
        "env": trainer.items("env"),
        "resources": trainer.take("resourcesPerNode"),
    }
    pod = {"containers": [{key: value for key, value in container.items() if value}]}
    return template.read({"spec": pod}, trainer.path, trainer.notes, trainer=TRAINER)


def _run_policy(fields: Fields) -> Manifest:
    found = {
        "suspend": fields.take("suspend"),
        "activeDeadlineSeconds": fields.integer("activeDeadlineSeconds"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _managed_by(fields: Fields) -> str | None:
    found = fields.word("managedBy")
    return None if found == CONTROLLERS_OWN else found
