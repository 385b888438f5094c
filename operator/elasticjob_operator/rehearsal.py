"""``python -m elasticjob_operator.rehearsal``: does a job form a round on this cluster?

It applies an ElasticJob whose two workers need no torch (:mod:`rdzv_client.rehearsal`), says what
becomes of it, and deletes it. `helm test` runs it, with rights for this alone.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from time import monotonic
from typing import Any, Final

from elasticjob_operator import api, cluster, conditions

LOOK_AGAIN_S: Final = 1.0


class RehearsalFailed(Exception):
    """The job did not do what it should; the text says what it did."""


def main(arguments: list[str] | None = None) -> int:
    """Rehearse; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        asyncio.run(_rehearse(options))
    except (RehearsalFailed, cluster.ClusterError) as error:
        print(f"failed: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m elasticjob_operator.rehearsal",
        description="Applies a small ElasticJob, waits until it is Complete, and deletes it.",
    )
    parser.add_argument("--namespace", required=True, help="where the job is made")
    parser.add_argument("--name", required=True, help="the job's name")
    parser.add_argument("--image", required=True, help="any image with Python 3.10 or newer")
    parser.add_argument("--pull-policy", default="IfNotPresent")
    parser.add_argument("--pull-secret", action="append", default=[], metavar="NAME")
    parser.add_argument("--timeout", type=float, default=180.0, metavar="SECONDS")
    return parser


def manifest(options: argparse.Namespace) -> dict[str, Any]:
    """Return a job of two workers that fits into a namespace of the restricted level."""
    container = {
        "name": "worker",
        "image": options.image,
        "imagePullPolicy": options.pull_policy,
        "command": ["python3", "-m", "rdzv_client.rehearsal"],
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "containers": [container],
        "imagePullSecrets": [{"name": name} for name in options.pull_secret],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": api.API_VERSION,
        "kind": api.KIND,
        "metadata": {"namespace": options.namespace, "name": options.name},
        "spec": {
            "minReplicas": 2,
            "maxReplicas": 2,
            "replicas": 2,
            "nprocPerNode": 1,
            "maxRestarts": 0,
            "runPolicy": {"activeDeadlineSeconds": max(1, int(options.timeout))},
            "template": {"spec": pod},
        },
    }


async def _rehearse(options: argparse.Namespace) -> None:
    the_cluster = await cluster.connect()
    where = (api.API_VERSION, api.KIND, options.namespace, options.name)
    try:
        made = await the_cluster.create(manifest(options))
        try:
            await _follow(the_cluster, made["metadata"]["uid"], options)
        finally:
            await the_cluster.delete(*where, uid=made["metadata"]["uid"])
    finally:
        await the_cluster.close()


async def _follow(the_cluster: cluster.Cluster, uid: str, options: argparse.Namespace) -> None:
    """Say what becomes of the job until it is over.

    Raises:
        RehearsalFailed: it failed, is gone, or took too long.
    """
    deadline, said = monotonic() + options.timeout, ""
    while True:
        job = await _look(the_cluster, options)
        if job is None or job.metadata.uid != uid:
            raise RehearsalFailed(f"the job {options.namespace}/{options.name} is gone")
        words = _words(job.status)
        if words != said:
            print(words, flush=True)  # noqa: T201
            said = words
        if conditions.holds(job.status.conditions, conditions.COMPLETE):
            return _judge(job.status)
        if job.status.completion_time or monotonic() > deadline:
            raise RehearsalFailed(words or "the job has no status: does the operator run?")
        await asyncio.sleep(LOOK_AGAIN_S)


async def _look(the_cluster: cluster.Cluster, options: argparse.Namespace) -> api.ElasticJob | None:
    try:
        found = await the_cluster.get(api.API_VERSION, api.KIND, options.namespace, options.name)
    except cluster.Unavailable as error:
        raise RehearsalFailed(str(error)) from error
    return api.ElasticJob.model_validate(found) if found else None


def _judge(status: api.ElasticJobStatus) -> None:
    """A job may be complete without a round that was ever seen: that is no proof."""
    if status.rendezvous.round < 1 or status.rendezvous.workers != 2:
        raise RehearsalFailed(f"Complete, but round {status.rendezvous.round} was not one of two")


def _words(status: api.ElasticJobStatus) -> str:
    """Return the condition that tells most, as one line."""
    for kind in (conditions.COMPLETE, conditions.FAILED, conditions.READY):
        condition = conditions.find(status.conditions, kind)
        if condition and condition.status == "True":
            return f"{kind}: {condition.message}"
    condition = conditions.find(status.conditions, conditions.PROGRESSING)
    return f"{status.phase}: {condition.message}" if condition else ""


if __name__ == "__main__":
    sys.exit(main())
