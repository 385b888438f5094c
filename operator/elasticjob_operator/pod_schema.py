"""Of a pod template what must hold for the operator to make a worker of it.

The API server checks the rest of each pod. The whole core/v1 schema would make a CRD of 800 kB that
ages with every Kubernetes release.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_PRESERVE: Schema = {"x-kubernetes-preserve-unknown-fields": True}


def template() -> Schema:
    """Return the schema of a core/v1 PodTemplateSpec, without its description."""
    return {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "metadata": {
                "type": "object",
                "description": "Labels and annotations for the pods.",
                "properties": {
                    "labels": _words("Labels of the pods."),
                    "annotations": _words("Annotations of the pods."),
                },
                **_PRESERVE,
            },
            "spec": _spec(),
        },
        **_PRESERVE,
    }


def _spec() -> Schema:
    return {
        "type": "object",
        "description": "core/v1 PodSpec.",
        "required": ["containers"],
        "properties": {
            "containers": {
                "type": "array",
                "description": "At least one; one of them runs torchrun.",
                "minItems": 1,
                "maxItems": 64,
                "items": _container(),
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
            "restartPolicy": {
                "type": "string",
                "enum": ["Never"],
                "description": "Never, or left out: the operator replaces pods that end.",
            },
            "terminationGracePeriodSeconds": {
                "type": "integer",
                "format": "int64",
                "minimum": 0,
                "description": "How long a worker that is to go may take to save its work.",
            },
            "initContainers": _things("What runs before, after the client has come."),
            "volumes": _things("The pod's volumes."),
            "imagePullSecrets": _things("What it takes to pull the images."),
            "tolerations": _objects("Taints of nodes that the pods tolerate."),
            "topologySpreadConstraints": _objects("How pods are spread; over nodes if left out."),
            "nodeSelector": _words("Labels of the nodes where the pods may run."),
            "serviceAccountName": _word("Whose rights the pods have; of their own, none."),
            "schedulerName": _word("Who finds nodes for the pods."),
            "runtimeClassName": _word("How their containers are run."),
        },
        **_PRESERVE,
    }


def _container() -> Schema:
    return {
        "type": "object",
        "required": ["name", "image"],
        "properties": {
            "name": {
                "type": "string",
                "maxLength": 63,
                "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                "description": "Unique in the pod.",
            },
            "image": {"type": "string", "minLength": 1, "description": "The image to run."},
            "env": _things("Variables; those that the operator sets outweigh them."),
            "volumeMounts": _things("Where the container finds the pod's volumes."),
            "restartPolicy": _word("Never, or left out, for the training container."),
            "restartPolicyRules": _objects("None for the training container."),
            "terminationMessagePath": _word("Where the container leaves its last words."),
        },
        **_PRESERVE,
    }


def _word(description: str) -> Schema:
    return {"type": "string", "description": description}


def _words(description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": {"type": "string"},
    }


def _objects(description: str) -> Schema:
    return {
        "type": "array",
        "description": description,
        "items": {"type": "object", **_PRESERVE},
    }


def _things(description: str) -> Schema:
    """Return the schema of a list of things that have a name."""
    named = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": _word("Its name.")},
        **_PRESERVE,
    }
    return {**_objects(description), "items": named}
