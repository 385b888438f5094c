"""Files with jobs: cut into documents, each converted by its kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import yaml

from elasticjob_operator import api
from elasticjob_operator.conversion import old_elasticjob, pytorchjob, trainjob
from elasticjob_operator.conversion.fields import Converted, Fields, Manifest, NotConvertible, Note

KINDS: Final[dict[tuple[str, str], Callable[[Fields], Manifest]]] = {
    ("kubeflow.org/v1", "PyTorchJob"): pytorchjob.spec,
    ("elastic.pytorch.org/v1alpha1", "ElasticJob"): old_elasticjob.spec,
    ("trainer.kubeflow.org/v1alpha1", "TrainJob"): trainjob.spec,
}
NAME: Final = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?")
QUEUE: Final = "kueue.x-k8s.io/queue-name"
WHAT_CLIENTS_WRITE: Final = "kubectl.kubernetes.io/last-applied-configuration"


def read(text: str) -> list[Any]:
    """Return the documents of a file, those in a List one by one.

    Raises:
        NotConvertible: it is not YAML, or there is nothing in it.
    """
    try:
        found = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise NotConvertible(f"this is not YAML: {' '.join(str(error).split())}") from error
    documents: list[Any] = []
    for document in found:
        listed = isinstance(document, dict) and document.get("kind") == "List"
        documents += (document.get("items") or []) if listed else [document]
    if not documents:
        raise NotConvertible("there is no job in it")
    return documents


def convert(manifest: Any) -> Converted:
    """Return the job as an ElasticJob.

    Raises:
        NotConvertible: it is of another kind, not what its own API would take, or cannot be an
            ElasticJob.
    """
    if not isinstance(manifest, dict):
        raise NotConvertible(f"a job must be an object, and is {manifest!r}")
    version, kind = manifest.get("apiVersion"), manifest.get("kind")
    reader = KINDS.get((str(version), str(kind)))
    if reader is None:
        known = ", ".join(f"{kind} ({version})" for version, kind in KINDS)
        raise NotConvertible(f"{kind} ({version}) cannot be converted; what can: {known}")
    notes: list[Note] = []
    metadata = _metadata(Fields(manifest.get("metadata"), "metadata", notes))
    fields = Fields(manifest.get("spec"), "spec", notes)
    spec = reader(fields)
    fields.close()
    converted = {"apiVersion": api.API_VERSION, "kind": api.KIND, "metadata": metadata}
    return Converted({**converted, "spec": spec}, tuple(notes))


def _metadata(fields: Fields) -> Manifest:
    """Return what a user writes there; the rest is the API server's."""
    kept = {name: fields.take(name) for name in ("name", "generateName", "namespace")}
    _check_name(kept["name"], kept["generateName"])
    labels, annotations = fields.take("labels") or {}, dict(fields.take("annotations") or {})
    annotations.pop(WHAT_CLIENTS_WRITE, None)
    if QUEUE in labels:
        words = "is kept, but Kueue does not manage ElasticJobs: docs/jobs.md says what works"
        fields.note(f"labels[{QUEUE}]", words)
    kept |= {"labels": labels, "annotations": annotations}
    return {name: found for name, found in kept.items() if found}


def _check_name(name: Any, prefix: Any) -> None:
    if name is None and prefix:
        return
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > api.MAX_JOB_NAME:
        raise NotConvertible(
            f"metadata.name must be at most {api.MAX_JOB_NAME} lower-case letters, digits and"
            f" hyphens, and begin with a letter; it is {name!r}"
        )
