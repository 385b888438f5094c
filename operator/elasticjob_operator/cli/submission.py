"""A job from flags."""

from __future__ import annotations

import argparse
from typing import Any

import pydantic
from pydantic.alias_generators import to_camel

from elasticjob_operator import api, rendezvous_spec, run_policy


class Contradiction(Exception):
    """The flags cannot all hold; the text says which."""


def spec(options: argparse.Namespace) -> api.ElasticJobSpec:
    """Return the job that the flags of ``submit`` describe.

    Raises:
        Contradiction: it cannot be.
    """
    most = options.max or max(options.min, options.replicas or 0)
    wanted = options.replicas or most
    if not options.min <= wanted <= most:
        raise Contradiction(
            f"--replicas ({wanted}) must lie between --min ({options.min}) and --max ({most})"
        )
    more: dict[str, Any] = {}
    if options.step:
        more["replica_step"] = options.step
    if options.spares:
        more["spare_replicas"] = options.spares
    if options.max_restarts is not None:
        more["max_restarts"] = options.max_restarts
    if options.backend:
        more["rendezvous"] = rendezvous_spec.Rendezvous(backend=options.backend)
    if options.suspend:
        more["run_policy"] = run_policy.RunPolicy(suspend=True)
    try:
        return api.ElasticJobSpec(
            min_replicas=options.min,
            max_replicas=most,
            replicas=wanted,
            nproc_per_node=options.nproc or options.gpus or 1,
            **more,
            template={"spec": {"containers": [_container(options)]}},
        )
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = to_camel(str(first["loc"][0]))
        raise Contradiction(f"{field} is {first['input']!r}: {first['msg']}") from error


def _container(options: argparse.Namespace) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "trainer", "image": options.image}
    container["command"] = _command(options.command)
    if options.env:
        container["env"] = [{"name": name, "value": value} for name, value in options.env]
    asked = {"cpu": options.cpu, "memory": options.memory}
    resources: dict[str, Any] = {}
    if requests := {name: amount for name, amount in asked.items() if amount}:
        resources["requests"] = requests
    if options.gpus:
        resources["limits"] = {"nvidia.com/gpu": options.gpus}
    return {**container, **({"resources": resources} if resources else {})}


def _command(words: list[str]) -> list[str]:
    return ["torchrun", *words] if words[0].endswith(".py") else list(words)
