"""pytorch/elastic's ElasticJob (elastic.pytorch.org/v1alpha1)."""

from __future__ import annotations

from typing import Final

from elasticjob_operator.conversion import run_policy, template
from elasticjob_operator.conversion.fields import Fields, Manifest
from elasticjob_operator.conversion.sizes import Size, nproc

TRAINER: Final = "elasticjob-worker"
ENTRYPOINT: Final = ("torchrun",)
"""Its controller gave the image's entrypoint, a launcher, its options."""


def spec(fields: Fields) -> Manifest:
    """Return the ElasticJob's spec; what was not read is left in the fields."""
    roles = fields.child("replicaSpecs")
    roles.leave_out("the operator runs the store in which the workers meet", "Etcd")
    role = roles.child("Worker")
    worker = template.read(
        role.take("template"),
        f"{role.path}.template",
        fields.notes,
        trainer=TRAINER,
        entrypoint=ENTRYPOINT,
    )
    fields.leave_out("the operator runs the store in which the workers meet", "rdzvEndpoint")
    replicas = role.integer("replicas") or 1
    least, most = fields.integer("minReplicas"), fields.integer("maxReplicas")
    size = Size.within(
        replicas if least is None else least, replicas if most is None else most, replicas, fields
    )
    most_restarts, failures = run_policy.restarts(fields, role, worker.launch.max_restarts)
    made = {
        **size.fields,
        "nprocPerNode": nproc(worker.launch.nproc),
        "maxRestarts": most_restarts,
        "failurePolicy": failures,
        "trainingContainer": worker.training_container,
        "gangScheduling": run_policy.gang(fields, worker.scheduler, size.least),
        "runPolicy": run_policy.read(fields),
        "template": worker.manifest,
    }
    return {name: value for name, value in made.items() if value is not None}
