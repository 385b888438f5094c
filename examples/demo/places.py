"""The clusters on which the demo runs: the local one, one that is there already, or kind."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from examples.demo import release
from examples.demo.commands import CommandError, Tools
from examples.demo.narrator import Narrator
from localcluster import binaries

LOCAL_NAME = "demo"
KIND_NAME = "elasticjob-demo"
KIND_KUBECONFIG = Path("build/kind-kubeconfig")
_TARGET = ("--file", "operator/Dockerfile", "--target")
IMAGE_SOURCES = {
    "elasticjob/operator:0.1.0": (*_TARGET, "operator", "."),
    "elasticjob/client:0.1.0": (*_TARGET, "client", "."),
    "elasticjob/etcd:3.7.3": (*_TARGET, "etcd", "."),
    "elasticjob/digits:0.1.0": ("examples/digits",),
}
"""What Docker builds each image from."""


class Place(Protocol):
    """Where the demo runs."""

    def prepare(self, resource: str) -> Tools:
        """Have a cluster with the images at hand, and no `resource` there in the demo's way.

        Returns:
            The tools that speak to it.
        """

    def clear(self, resource: str) -> None:
        """Remove what `prepare` and the demo made, `resource` being the demo's job."""

    def next_steps(self) -> Sequence[str]:
        """What to type, once in a shell, so that kubectl speaks to this cluster."""


@dataclasses.dataclass(frozen=True)
class Local:
    """The cluster that `localcluster` builds and runs on this machine: Linux, as root."""

    narrator: Narrator

    def prepare(self, resource: str) -> Tools:  # noqa: ARG002 - it is the demo's own
        """Build what is missing, start the cluster unless it runs, import the images."""
        Tools(self.narrator).stream("python", "-m", "localcluster", "up", "--name", LOCAL_NAME)
        folder = binaries.ensure(["kubectl", "helm"])["kubectl"].parent
        return Tools(self.narrator, kubeconfig=self._kubeconfig(), folder=folder)

    def clear(self, resource: str) -> None:  # noqa: ARG002 - it goes with the cluster
        """End the cluster, and with it all that is in it."""
        Tools(self.narrator).stream("python", "-m", "localcluster", "down", "--name", LOCAL_NAME)

    def next_steps(self) -> Sequence[str]:
        """Set KUBECONFIG, and PATH so that kubectl and helm are found."""
        python = os.path.relpath(sys.executable)
        return (f'eval "$({python} -m localcluster env --name {LOCAL_NAME})"',)

    def _kubeconfig(self) -> Path:
        words = (sys.executable, "-m", "localcluster", "kubeconfig", "--name", LOCAL_NAME)
        return Path(Tools(self.narrator).ask(*words).strip())


@dataclasses.dataclass(frozen=True)
class Current:
    """The cluster of kubectl's current context. Its nodes must be able to pull the images."""

    narrator: Narrator

    def prepare(self, resource: str) -> Tools:
        """Check that the cluster answers, and that no job there is in the demo's way.

        Raises:
            CommandError: it does not, there is no kubectl, or a job of the demo's name is at work.
        """
        tools = self._reach()
        phase = find_phase(tools, resource)
        if phase not in {None, "Complete", "Failed"}:
            raise CommandError(
                f"{resource} is there already, and is {phase}: wait for its end, or delete it by "
                f"`kubectl delete {resource}`"
            )
        return tools

    def _reach(self) -> Tools:
        tools = Tools(self.narrator)
        try:
            tools.show("kubectl", "config", "current-context")
            tools.show("kubectl", "cluster-info")
        except CommandError as error:
            reason = str(error).splitlines()[-1]
            given = os.environ.get("KUBECONFIG", "not set")
            raise CommandError(
                f"kubectl's current context is of no use (KUBECONFIG is {given}): {reason}"
            ) from None
        return tools

    def clear(self, resource: str) -> None:
        """Delete the job and the release; the API stays, because it may hold others' jobs."""
        release.uninstall(self._reach(), resource)

    def next_steps(self) -> Sequence[str]:
        """Nothing: kubectl speaks to this cluster already."""
        return ()


def find_phase(tools: Tools, resource: str) -> str | None:
    """The phase of the ElasticJob, "new" if it has none yet; None if there is no such job."""
    try:
        found = tools.ask("kubectl", "get", resource, "--ignore-not-found", "--output=json")
    except CommandError as error:
        if "the server doesn't have a resource type" in str(error):
            return None
        raise
    if not found:
        return None
    phase: str = json.loads(found).get("status", {}).get("phase", "new")
    return phase


@dataclasses.dataclass(frozen=True)
class Kind:
    """A cluster in Docker, made by kind; Docker builds the images and kind loads them."""

    narrator: Narrator

    def prepare(self, resource: str) -> Tools:  # noqa: ARG002 - it is the demo's own
        """Make the cluster unless it is there, build the images, load them."""
        tools = Tools(self.narrator, kubeconfig=KIND_KUBECONFIG.absolute())
        KIND_KUBECONFIG.parent.mkdir(exist_ok=True)
        if KIND_NAME in tools.ask("kind", "get", "clusters").split():
            tools.stream("kind", "export", "kubeconfig", "--name", KIND_NAME)
        else:
            tools.stream("kind", "create", "cluster", "--name", KIND_NAME, "--wait", "3m")
        for image, source in IMAGE_SOURCES.items():
            tools.stream("docker", "build", "--tag", image, *source)
        tools.stream("kind", "load", "docker-image", *IMAGE_SOURCES, "--name", KIND_NAME)
        return tools

    def clear(self, resource: str) -> None:  # noqa: ARG002 - it goes with the cluster
        """Delete the cluster."""
        tools = Tools(self.narrator, kubeconfig=KIND_KUBECONFIG.absolute())
        tools.stream("kind", "delete", "cluster", "--name", KIND_NAME)
        KIND_KUBECONFIG.unlink(missing_ok=True)

    def next_steps(self) -> Sequence[str]:
        """Name the kubeconfig."""
        return (f"export KUBECONFIG={KIND_KUBECONFIG.absolute()}",)
