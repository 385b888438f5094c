"""Container images as docker-archive tars, written without Docker.

An image is a list of files and a configuration; the same image gives the same bytes, so its key
tells whether an archive of it is there already.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Entry:
    """One file or folder of an image.

    Attributes:
        path: where it is in the image, without the leading slash.
        content: its bytes or the file that holds them; None makes it a folder.
        mode: its permissions.
        owner: its user and group id.
    """

    path: str
    content: Path | bytes | None
    mode: int = 0o644
    owner: int = 0

    @property
    def size(self) -> int:
        """The number of bytes in it."""
        if isinstance(self.content, Path):
            return self.content.stat().st_size
        return len(self.content or b"")

    def open(self) -> io.BufferedReader | io.BytesIO:
        """Open its bytes for reading."""
        if isinstance(self.content, Path):
            return self.content.open("rb")
        return io.BytesIO(self.content or b"")


@dataclass(frozen=True)
class Image:
    """A container image; `layers` are laid over each other in order."""

    reference: str
    layers: Sequence[Sequence[Entry]]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = ""

    def config(self) -> dict[str, Any]:
        """Return what a container runtime reads, but for the layers' digests."""
        return {
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.command),
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "WorkingDir": self.folder,
            "User": self.user,
        }


def tree(root: Path, below: str) -> list[Entry]:
    """Return the files under `root`, in order, as entries under the image's folder `below`."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return [
        Entry(f"{below}/{path.relative_to(root)}", path, 0o755 if _executable(path) else 0o644)
        for path in files
    ]


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def key(image: Image) -> str:
    """Return a digest of everything that is in the image."""
    digest = hashlib.sha256(json.dumps([image.reference, image.config()]).encode())
    for entry in (entry for layer in image.layers for entry in layer):
        facts = [entry.path, entry.mode, entry.owner, entry.content is None, entry.size]
        digest.update(json.dumps(facts).encode())
        with entry.open() as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:16]


def write(image: Image, path: Path, machine: str) -> None:
    """Write the image as a docker-archive, whole or not at all.

    Args:
        image: what to write.
        path: the archive's.
        machine: the computer's architecture, as `platform.machine()` names it.
    """
    partial = path.with_suffix(".partial")
    with tarfile.open(partial, "w") as archive:
        layers = [_add_layer(archive, layer) for layer in image.layers]
        config = json.dumps(
            {
                "architecture": _ARCHITECTURES.get(machine, machine),
                "os": "linux",
                "config": image.config(),
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}" for layer in layers]},
            }
        ).encode()
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        _add(archive, Entry(config_name, config))
        names = [_layer_name(layer) for layer in layers]
        manifest = {"Config": config_name, "RepoTags": [image.reference], "Layers": names}
        _add(archive, Entry("manifest.json", json.dumps([manifest]).encode()))
    partial.rename(path)


def _layer_name(digest: str) -> str:
    return f"{digest}/layer.tar"


def _add_layer(archive: tarfile.TarFile, entries: Sequence[Entry]) -> str:
    """Add a layer, and return the digest of its bytes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as layer:
        for entry in _with_folders(entries):
            _add(layer, entry)
    data = content.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    _add(archive, Entry(_layer_name(digest), data))
    return digest


def _with_folders(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries with the folders that they are in before them, each once."""
    complete: dict[str, Entry] = {}
    for entry in entries:
        for parent in reversed(Path(entry.path).parents[:-1]):
            complete.setdefault(str(parent), Entry(str(parent), None, 0o755))
        complete[entry.path] = entry
    return list(complete.values())


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    member = tarfile.TarInfo(entry.path)
    member.mode, member.uid, member.gid = entry.mode, entry.owner, entry.owner
    if entry.content is None:
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
        return
    member.size = entry.size
    with entry.open() as content:
        archive.addfile(member, content)
