"""The rules for an ElasticJob that the API server itself checks, in CEL.

What a schema can say of one field alone stands in :mod:`elasticjob_operator.api`.
"""

from __future__ import annotations

from typing import Any

from elasticjob_operator import api

Rule = dict[str, Any]


def _rule(rule: str, message: str, path: str | None = None, numbers: str | None = None) -> Rule:
    """Return a CEL rule; ``numbers`` is an expression that says the same with what was given."""
    return {
        "rule": rule,
        "message": message,
        **({"messageExpression": numbers} if numbers else {}),
        **({"fieldPath": path} if path else {}),
    }


def _fixed(field: str) -> Rule:
    """Refuse a change that would part the job from its store, or its workers from each other."""
    message = f"{field} cannot be changed: it would not reach the workers that already run"
    return _rule(f"self.{field} == oldSelf.{field}", message, f".{field}")


def _fixed_unless_suspended(field: str, *, optional: bool = False) -> Rule:
    """Refuse a change that could not reach workers that already run; a suspended job has none.

    Queues edit the template in the same request by which they suspend or resume a job.
    """
    same = _same_option(field) if optional else f"self.{field} == oldSelf.{field}"
    message = (
        f"{field} cannot be changed while the job runs: it would not reach the workers that"
        " already run; set runPolicy.suspend to true first"
    )
    # A field that may be absent cannot be the path of an error.
    path = None if optional else f".{field}"
    return _rule(f"self.runPolicy.suspend || oldSelf.runPolicy.suspend || ({same})", message, path)


def _same_option(field: str) -> str:
    """Return what holds when a field that may be absent is as it was."""
    both = f"has(self.{field}) == has(oldSelf.{field})"
    return f"{both} && (!has(self.{field}) || self.{field} == oldSelf.{field})"


_TRAINING = (
    "has(self.trainingContainer) ? self.trainingContainer : self.template.spec.containers[0].name"
)

SPEC: list[Rule] = [
    _rule(
        "self.minReplicas <= self.maxReplicas",
        "minReplicas must not exceed maxReplicas",
        ".minReplicas",
        "'minReplicas (%d) must not exceed maxReplicas (%d)'"
        ".format([self.minReplicas, self.maxReplicas])",
    ),
    _rule(
        "self.replicas >= self.minReplicas && self.replicas <= self.maxReplicas",
        "replicas must lie between minReplicas and maxReplicas",
        ".replicas",
        "'replicas (%d) must lie between minReplicas (%d) and maxReplicas (%d)'"
        ".format([self.replicas, self.minReplicas, self.maxReplicas])",
    ),
    _rule(
        "self.minReplicas % self.replicaStep == 0 && self.maxReplicas % self.replicaStep == 0",
        "minReplicas and maxReplicas must be multiples of replicaStep",
        ".replicaStep",
        "'minReplicas (%d) and maxReplicas (%d) must be multiples of replicaStep (%d)'"
        ".format([self.minReplicas, self.maxReplicas, self.replicaStep])",
    ),
    _rule(
        f"self.maxReplicas + self.spareReplicas <= {api.MAX_REPLICAS}",
        f"maxReplicas and spareReplicas together must not exceed {api.MAX_REPLICAS}",
        ".spareReplicas",
        f"'maxReplicas (%d) and spareReplicas (%d) together must not exceed {api.MAX_REPLICAS}'"
        ".format([self.maxReplicas, self.spareReplicas])",
    ),
    _rule(
        "!has(self.trainingContainer) ||"
        " self.template.spec.containers.exists(c, c.name == self.trainingContainer)",
        "trainingContainer must name one of template.spec.containers",
        ".trainingContainer",
    ),
    _rule(
        f"self.template.spec.containers.all(c, c.name != ({_TRAINING}) ||"
        " ((!has(c.restartPolicy) || c.restartPolicy == 'Never') && !has(c.restartPolicyRules)))",
        "the training container's restartPolicy must be Never or left out, and restartPolicyRules"
        " too: the operator replaces its pod, and counts",
        ".template",
    ),
    _rule(
        "!has(self.failurePolicy.rules) || self.failurePolicy.rules.all(r,"
        " !has(r.onExitCodes) || !has(r.onExitCodes.containerName) ||"
        " self.template.spec.containers.exists(c, c.name == r.onExitCodes.containerName))",
        "onExitCodes.containerName of each rule must name one of template.spec.containers",
        ".failurePolicy.rules",
    ),
    _fixed("rendezvous"),
    _fixed("networkPolicy"),
    _rule(
        _same_option("managedBy"),
        "managedBy cannot be changed: a job stays with the controller that it was created for",
    ),
    _fixed_unless_suspended("template"),
    _fixed_unless_suspended("nprocPerNode"),
    _fixed_unless_suspended("clientInjection"),
    _fixed_unless_suspended("trainingContainer", optional=True),
    _fixed_unless_suspended("gangScheduling", optional=True),
    _fixed_unless_suspended("topologyKey", optional=True),
]

_DOMAIN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"

FIELDS: dict[str, list[Rule]] = {
    "managedBy": [
        _rule(
            f"self.matches('^{_DOMAIN}/[-A-Za-z0-9._~/]+$')",
            "must be a controller's domain-prefixed name, such as kueue.x-k8s.io/multikueue",
        ),
    ],
    "nprocPerNode": [
        _rule(
            "type(self) == int ? self >= 1 && self <= 1024 : self in ['auto', 'gpu', 'cpu']",
            "must be a number from 1 to 1024, or one of auto, gpu, cpu",
        ),
    ],
    "failurePolicy.rules[]": [
        _rule(
            "[has(self.onExitCodes), has(self.onSignals), has(self.onReasons),"
            " has(self.onPodConditions)].exists_one(given, given)",
            "exactly one of onExitCodes, onSignals, onReasons and onPodConditions must be given",
        ),
    ],
    "rendezvous": [
        _rule(
            "self.backend == 'etcd' || (size(self.etcd.endpoints) == 0 && self.etcd.members == 1"
            " && !has(self.etcd.storage) && !has(self.etcd.secretRef))",
            "endpoints, secretRef, members and storage are for backend etcd: with backend c10d the"
            " workers meet in a TCPStore",
            ".etcd",
        ),
    ],
    "rendezvous.etcd": [
        _rule(
            "size(self.endpoints) == 0 || (self.members == 1 && !has(self.storage))",
            "members and storage are for the job's own etcd, and endpoints name another one:"
            " give either",
        ),
        _rule(
            "!has(self.secretRef) || size(self.endpoints) > 0",
            "secretRef is for endpoints: for the job's own etcd the operator makes the credentials",
        ),
        _rule(
            "self.endpoints.all(e, e.startsWith('https://'))"
            " || self.endpoints.all(e, e.startsWith('http://'))",
            "endpoints must be either all https:// or all http://",
            ".endpoints",
        ),
    ],
    "rendezvous.etcd.storage": [
        _rule(
            "quantity(self.size).compareTo(quantity('256Mi')) >= 0",
            "size must be at least 256Mi: etcd sets room aside for its log",
            ".size",
            "'size (%s) must be at least 256Mi: etcd sets room aside for its log'"
            ".format([self.size])",
        ),
    ],
    "gangScheduling": [
        _rule(
            "!has(self.queue) || self.scheduler == 'Volcano'",
            "only Volcano has a queue",
            None,
            "'only Volcano has a queue, not ' + self.scheduler",
        ),
    ],
    "runPolicy.backoff": [
        _rule(
            "self.initialSeconds <= self.maxSeconds",
            "initialSeconds must not exceed maxSeconds",
            ".initialSeconds",
            "'initialSeconds (%d) must not exceed maxSeconds (%d)'"
            ".format([self.initialSeconds, self.maxSeconds])",
        ),
    ],
}

_OVER = (
    "has(oldSelf.status) && has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(c,"
    " c.type in ['Complete', 'Failed'] && c.status == 'True')"
)
_SAME = " && ".join(
    f"self.spec.{field} == oldSelf.spec.{field}"
    for field in (
        *("replicas", "minReplicas", "maxReplicas", "replicaStep", "spareReplicas"),
        *("maxRestarts", "failurePolicy", "template", "nprocPerNode", "clientInjection"),
    )
)

OBJECT: list[Rule] = [
    _rule(
        f"size(self.metadata.name) <= {api.MAX_JOB_NAME}",
        f"the name may have at most {api.MAX_JOB_NAME} characters: longer names are made from it",
    ),
    _rule(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "the name must be lower-case letters, digits and hyphens, and begin with a letter:"
        " host names are made from it",
    ),
    _rule(
        f"!({_OVER}) || ({_SAME})",
        "the job is over: delete it and create it anew instead of changing it",
    ),
]
