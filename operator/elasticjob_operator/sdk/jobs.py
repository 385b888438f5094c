"""The jobs of one namespace: made, looked at, waited for, changed and deleted."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Literal

from elasticjob_operator import answers, api, conditions, labels
from elasticjob_operator.sdk import connection, manifests, worker_pods
from elasticjob_operator.sdk.manifests import Manifest

ConditionType = Literal[
    "Ready", "RendezvousReady", "Progressing", "Suspended", "Complete", "Failed"
]

WATCH_S: Final = 60
"""How long one watch lasts; then the job is looked at anew, lest a watch that died goes unseen."""
PATIENCE_S: Final = 60
"""How long an API server may be away while a job is being watched."""
AGAIN_AFTER_S: Final = 1.0


class JobOver(Exception):
    """The job is over, so that what was waited for will never be so.

    Attributes:
        job: The job as it ended.
    """

    def __init__(self, job: api.ElasticJob, kind: str) -> None:
        super().__init__(f"{job.metadata.name} is {kind}: {message(job, kind)}")
        self.job = job


class ElasticJobs(AbstractContextManager["ElasticJobs"]):
    """The ElasticJobs of a namespace; a context that closes its connection.

    Every method raises :class:`Refused` and :class:`Unavailable`.

    Args:
        namespace: The kubeconfig's when left out.
        context: The kubeconfig's current one when left out.
        kubeconfig: ``KUBECONFIG``, ``~/.kube/config`` or the pod's own rights when left out.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        context: str | None = None,
        kubeconfig: str | None = None,
    ) -> None:
        self._server = connection.connect(namespace, context, kubeconfig)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._server.close()

    @property
    def namespace(self) -> str:
        """The namespace that is meant."""
        return self._server.namespace

    def list(self, *, everywhere: bool = False) -> tuple[api.ElasticJob, ...]:
        """Return the jobs of the namespace, or of all that may be seen."""
        found = self._server.jobs(everywhere=everywhere)
        return tuple(map(manifests.read, found))

    def get(self, name: str) -> api.ElasticJob:
        """Return the job as it is now."""
        return manifests.read(self._server.job(name))

    def create(
        self,
        name: str,
        spec: api.ElasticJobSpec,
        *,
        labels: Mapping[str, str] | None = None,
        dry_run: bool = False,
    ) -> api.ElasticJob:
        """Create a job; with ``dry_run`` only hear whether it would be taken."""
        return self.create_manifest(manifests.write(name, spec, labels), dry_run=dry_run)

    def create_manifest(self, manifest: Manifest, *, dry_run: bool = False) -> api.ElasticJob:
        """Create a job from what a file says, in this namespace; as :meth:`create` does."""
        return manifests.read(self._server.create(manifest, dry_run=dry_run))

    def scale(self, name: str, replicas: int) -> None:
        """Have so many workers, between the job's minReplicas and maxReplicas."""
        self._server.scale(name, replicas)

    def suspend(self, name: str) -> api.ElasticJob:
        """Have the job stand still; its pods may save their work and go."""
        return self._suspend(name, True)

    def resume(self, name: str) -> api.ElasticJob:
        """Have a suspended job go on."""
        return self._suspend(name, False)

    def _suspend(self, name: str, wanted: bool) -> api.ElasticJob:
        patch = {"spec": {"runPolicy": {"suspend": wanted}}}
        return manifests.read(self._server.change(name, patch))

    def delete(self, name: str) -> None:
        """Delete the job with its pods."""
        self._server.delete(name)

    def logs(
        self,
        name: str,
        rank: int = 0,
        *,
        previous: bool = False,
        follow: bool = False,
        tail: int | None = None,
    ) -> Iterator[str]:
        """Yield the lines that the worker with this rank has written.

        Args:
            name: The job.
            rank: The worker's rank in the last round.
            previous: Take the pod that had its place before.
            follow: Go on until its training ends.
            tail: How many of the last lines; all when left out.

        Raises:
            NoSuchPod: no pod has this rank, or none before it is kept.
        """
        job = self.get(name)
        pod = worker_pods.of_rank(job, rank)
        if previous:
            pods = self._server.pods(labels.selector(name, labels.WORKER))
            pod = worker_pods.before(pod, pods)
        yield from self._server.log(pod, api.training_container(job.spec), follow=follow, tail=tail)

    def wait(
        self, name: str, condition: ConditionType = "Complete", *, timeout_s: float | None = None
    ) -> api.ElasticJob:
        """Wait until the condition is True of the job as it now is to be, and return the job.

        Raises:
            JobOver: it is Complete or Failed, and that was not waited for.
            TimeoutError: it took longer than ``timeout_s``.
        """
        for job in self.watch(name, timeout_s=timeout_s):
            if holds(job, condition):
                return job
            if end := ended(job):
                raise JobOver(job, end)
        raise AssertionError("a watch has no end of its own")

    def watch(self, name: str, *, timeout_s: float | None = None) -> Iterator[api.ElasticJob]:
        """Yield the job as it is, and again whenever it has changed.

        Raises:
            Refused: there is no such job, or it was deleted (status 404).
            Unavailable: the API server was away for a minute.
            TimeoutError: ``timeout_s`` are over.
        """
        deadline = time.monotonic() + (math.inf if timeout_s is None else timeout_s)
        seen = ""
        for found in self._versions(name, deadline):
            version = found["metadata"]["resourceVersion"]
            if version != seen:
                seen = version
                yield manifests.read(found)
        raise TimeoutError(f"{name} was watched for {timeout_s:.0f} s, and is not over")

    def _versions(self, name: str, deadline: float) -> Iterator[Manifest]:
        """Yield the job whenever something is heard of it, until the deadline."""
        away_since: float | None = None
        while True:
            try:
                found = self._server.job(name)
                away_since = None
                yield found
                if (rest_s := deadline - time.monotonic()) <= 0:
                    return
                limit_s = math.ceil(min(WATCH_S, rest_s))
                version = found["metadata"]["resourceVersion"]
                for kind, seen in self._server.changes(name, version, limit_s):
                    if kind == "DELETED":
                        raise answers.Refused(404, "NotFound", f"the job {name} was deleted")
                    yield seen
            except answers.Unavailable:
                now = time.monotonic()
                away_since = now if away_since is None else away_since
                if now > min(away_since + PATIENCE_S, deadline):
                    raise
                time.sleep(AGAIN_AFTER_S)
            except answers.Refused as error:
                if error.status != 410:  # what a watch says whose past is forgotten
                    raise


def holds(job: api.ElasticJob, kind: str) -> bool:
    """Return whether the condition is True, and was found after the job's last change."""
    found = conditions.find(job.status.conditions, kind)
    if found is None or found.status != "True":
        return False
    return conditions.ends_job(found) or found.observed_generation >= job.metadata.generation


def ended(job: api.ElasticJob) -> str | None:
    """Return the condition by which the job is over, Complete or Failed, if it is."""
    return next((c.type for c in job.status.conditions if conditions.ends_job(c)), None)


def message(job: api.ElasticJob, kind: str) -> str:
    """Return the sentence of the job's condition of this type."""
    found = conditions.find(job.status.conditions, kind)
    return found.message if found else ""
