"""The pod of a worker, from the template of a replica."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from elasticjob_operator.conversion import launch
from elasticjob_operator.conversion.fields import Manifest, NotConvertible, Note

IN_THE_WAY: Final = {
    *("PET_STANDALONE", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT"),
    *("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"),
}
"""Variables that torchrun, or the workers it starts, would believe."""


@dataclass(frozen=True)
class Template:
    """A worker's template, and what its command line said.

    Attributes:
        training_container: Its name, where it is not the first.
    """

    manifest: Manifest
    training_container: str | None
    launch: launch.Launch

    @property
    def scheduler(self) -> str | None:
        """Who finds nodes for the pods, if the template says."""
        found = self.manifest["spec"].get("schedulerName")
        return str(found) if found else None


def read(
    given: Any, path: str, notes: list[Note], *, trainer: str, entrypoint: tuple[str, ...] = ()
) -> Template:
    """Return the template as an ElasticJob has it.

    Args:
        given: A PodTemplateSpec.
        path: Where it stands.
        notes: Takes what becomes of it.
        trainer: The name of the container that trains; the first if none has it.
        entrypoint: What the images of that operator run where there is no command.

    Raises:
        NotConvertible: it is not a template.
    """
    template = _kept(deepcopy(given), path)
    containers = template["spec"]["containers"]
    at = next((i for i, found in enumerate(containers) if found.get("name") == trainer), 0)
    where = f"{path}.spec.containers[{at}]"
    container = containers[at]
    ran = _command(container, where, entrypoint, notes)
    container["env"] = [*_environment(container, where, notes)]
    if not container["env"]:
        del container["env"]
    return Template(template, container.get("name") if at else None, ran)


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield the paths at which two templates differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in sorted({*one, *other}):
            yield from differences(one.get(name), other.get(name), f"{path}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (mine, yours) in enumerate(zip(one, other, strict=True)):
            yield from differences(mine, yours, f"{path}[{index}]")
    elif one != other:
        yield path.lstrip(".")


def _kept(given: Any, path: str) -> Manifest:
    """Return labels, annotations and spec; what else stands there says nothing of a pod."""
    if not isinstance(given, Mapping) or not isinstance(given.get("spec"), Mapping):
        raise NotConvertible(f"{path}.spec is missing: there is no pod to make workers of")
    spec = dict(given["spec"])
    containers = spec.get("containers")
    if not isinstance(containers, list) or not containers:
        raise NotConvertible(f"{path}.spec.containers must be a list of at least one")
    if not all(isinstance(container, dict) for container in containers):
        raise NotConvertible(f"{path}.spec.containers must be a list of objects")
    spec.pop("restartPolicy", None)
    metadata = given.get("metadata") or {}
    kept = {name: metadata[name] for name in ("labels", "annotations") if metadata.get(name)}
    return {**({"metadata": kept} if kept else {}), "spec": spec}


def _command(
    container: Manifest, path: str, entrypoint: tuple[str, ...], notes: list[Note]
) -> launch.Launch:
    """Have the container run plain torchrun."""

    def say(words: str) -> None:
        notes.append(Note(f"{path}.command", words))

    command, args = container.pop("command", None) or [], container.pop("args", None) or []
    if not command and entrypoint:
        command = [*entrypoint]
        say(f"is {' '.join(entrypoint)} now, in place of the image's own")
    words = [str(word) for word in (*command, *args)]
    if command:
        ran = launch.plain(words, say)
        container["command"] = [*ran.words]
        return ran
    launch.of_image(words, say)
    if args:
        container["args"] = args
    return launch.Launch()


def _environment(container: Manifest, path: str, notes: list[Note]) -> Iterator[Any]:
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name") if isinstance(variable, Mapping) else None
        if name in IN_THE_WAY:
            words = f"is left out: torchrun would believe {name}, and the operator knows better"
            notes.append(Note(f"{path}.env[{index}]", words))
        else:
            yield variable
