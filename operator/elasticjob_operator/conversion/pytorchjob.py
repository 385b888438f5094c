"""Kubeflow's PyTorchJob (kubeflow.org/v1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from elasticjob_operator.conversion import run_policy, template
from elasticjob_operator.conversion.fields import Fields, Manifest, NotConvertible
from elasticjob_operator.conversion.sizes import Size, nproc
from rdzv_client import wording

OPERATORS_OWN: Final = "kubeflow.org/training-operator"
TRAINER: Final = "pytorch"
CONF: Final = {
    "timeout": "joinTimeoutSeconds",
    "join_timeout": "joinTimeoutSeconds",
    "last_call_timeout": "lastCallSeconds",
}
ROLES: Final = ("Master", "Worker")


@dataclass(frozen=True)
class Replicas:
    """All workers: the template they share, where it stands, and how many there are."""

    worker: template.Template
    role: Fields
    number: int


def spec(fields: Fields) -> Manifest:
    """Return the ElasticJob's spec; what was not read is left in the fields."""
    elastic = fields.child("elasticPolicy")
    replicas = _replicas(fields.child("pytorchReplicaSpecs"))
    policy, worker = fields.child("runPolicy"), replicas.worker
    size = _size(elastic, replicas.number)
    agents = elastic.integer("maxRestarts")
    agents = worker.launch.max_restarts if agents is None else agents
    most, failures = run_policy.restarts(policy, replicas.role, agents)
    deprecated = elastic.take("nProcPerNode")
    made = {
        **size.fields,
        "autoscaling": _autoscaling(elastic),
        "nprocPerNode": nproc(worker.launch.nproc, fields.take("nprocPerNode"), deprecated),
        "maxRestarts": most,
        "failurePolicy": failures,
        "trainingContainer": worker.training_container,
        "rendezvous": _rendezvous(elastic),
        "gangScheduling": run_policy.gang(policy, worker.scheduler, size.least),
        "managedBy": _managed_by(policy),
        "runPolicy": run_policy.read(policy),
        "template": worker.manifest,
    }
    return {name: value for name, value in made.items() if value not in (None, {})}


def _replicas(roles: Fields) -> Replicas:
    """Return the workers: the Worker's replicas and the Master, which is one of them."""
    found = {name: roles.child(name) for name in ROLES if name in roles}
    if not found:
        raise NotConvertible(f"{roles.path} has neither a Worker nor a Master")
    templates = [
        template.read(role.take("template"), f"{role.path}.template", role.notes, trainer=TRAINER)
        for role in found.values()
    ]
    numbers = [role.integer("replicas") for role in found.values()]
    if len(found) == 2:
        _compare(roles, *(one.manifest for one in templates))
        found["Master"].take("restartPolicy")
    number = sum(1 if number is None else number for number in numbers)
    return Replicas(templates[-1], [*found.values()][-1], number)


def _compare(roles: Fields, master: Manifest, worker: Manifest) -> None:
    paths = [*template.differences(master, worker)]
    if not paths:
        roles.note("Master", "is a worker like the others, of which any may have rank 0")
        return
    words = "is a worker like the others, made from the Worker's template, which differs in"
    roles.note("Master", f"{words} {wording.some(paths)}")


def _size(elastic: Fields, replicas: int) -> Size:
    least, most = elastic.integer("minReplicas"), elastic.integer("maxReplicas")
    if least is None and most is None:
        elastic.note("", "sets no bounds: lower minReplicas to have training go on after a loss")
        least = most = replicas
    return Size.within(least or most or 0, most or least or 0, replicas, elastic)


def _rendezvous(elastic: Fields) -> Manifest:
    """Return what can be said about joining; where to meet is the operator's."""
    words = "the operator runs the store in which the workers meet"
    elastic.leave_out(words, "rdzvBackend", "rdzvHost", "rdzvPort", "rdzvId", "standalone")
    made: Manifest = {}
    for index, entry in enumerate(elastic.items("rdzvConf")):
        pair = Fields(entry, f"{elastic.path}.rdzvConf[{index}]", elastic.notes)
        key, value = pair.word("key"), pair.word("value") or ""
        if key in CONF and value.isdecimal():
            made[CONF[key]] = int(value)
        else:
            pair.note("key", f"is left out: spec.rendezvous has nothing like {key}={value}")
    return made


def _autoscaling(elastic: Fields) -> Manifest | None:
    metrics = elastic.items("metrics")
    return {"metrics": metrics} if metrics else None


def _managed_by(policy: Fields) -> str | None:
    found = policy.word("managedBy")
    return None if found == OPERATORS_OWN else found
