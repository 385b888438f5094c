"""Jobs as JSON documents, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

from elasticjob_operator import answers, api

Manifest = dict[str, Any]


class NotUnderstood(answers.ClusterError):
    """A job is not what this version knows; the text says where."""


def read(found: Manifest) -> api.ElasticJob:
    """Return the job of which the API server told.

    Raises:
        NotUnderstood: a newer operator wrote it, most likely.
    """
    try:
        return api.ElasticJob.model_validate(found)
    except pydantic.ValidationError as error:
        name = found.get("metadata", {}).get("name")
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        words = f"{path} of {name} is not understood, this may be too old for its operator"
        raise NotUnderstood(f"{words}: {first['msg']}") from error


def write(name: str, spec: api.ElasticJobSpec, labels: Mapping[str, str] | None = None) -> Manifest:
    """Return the job as one writes it into a file: without what is left at its default."""
    return {
        "apiVersion": api.API_VERSION,
        "kind": api.KIND,
        "metadata": {"name": name, **({"labels": dict(labels)} if labels else {})},
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_unset=True),
    }
