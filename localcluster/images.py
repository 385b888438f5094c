"""The images of this project, built without Docker and brought to the nodes without a registry."""

import fcntl
import json
import platform
import subprocess
import sys
from pathlib import Path

from localcluster import archive, binaries, distribution, machine, paths
from localcluster.archive import Entry, Image
from localcluster.layout import Node
from localcluster.progress import failure, step

PAUSE = "elasticjob/pause:1"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TRAINER = 1000
_NOBODY_ELSE = "65532:65532"  # a user that owns nothing
_EXAMPLE = paths.REPOSITORY / "examples" / "digits"

# What programs expect to find in any image.
_GROUND = (
    Entry("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"
          b"trainer:x:1000:1000:trainer:/home/trainer:/bin/sh\n"
          b"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"),
    Entry("etc/group", b"root:x:0:\ntrainer:x:1000:\nnogroup:x:65534:\n"),
    Entry("etc/nsswitch.conf", b"hosts: files dns\n"),
    Entry("home/trainer", None, 0o755, _TRAINER),
    Entry("root", None, 0o755),  # what is shown of this machine may lie below it
    Entry("tmp", None, 0o1777),
)  # fmt: skip


def pause() -> Image:
    """Return the image of the process that holds a pod together."""
    program = binaries.ensure(["pause"])["pause"]
    return Image(PAUSE, [[Entry("pause", program, 0o755)]], entrypoint=["/pause"])


# The next three are what operator/Dockerfile makes, the last what examples/digits/Dockerfile does.


def etcd() -> Image:
    """Return the image of the rendezvous store."""
    program = binaries.ensure(["etcd"])["etcd"]
    return Image(
        f"elasticjob/etcd:{binaries.version(binaries.ETCD)[1:]}",
        [[*_GROUND, Entry("opt/etcd/etcd", program, 0o755)]],
        entrypoint=["/opt/etcd/etcd"],
        environment={"PATH": f"/opt/etcd:{_SYSTEM_PATH}"},
        user=_NOBODY_ELSE,
    )


def operator(dependencies: Path, project: Path) -> Image:
    """Return the operator's image; a change of its code changes the last layer only."""
    below = "opt/elasticjob/lib"
    return Image(
        f"elasticjob/operator:{distribution.version()}",
        [_GROUND, archive.tree(dependencies, below), archive.tree(project, below)],
        entrypoint=["python3", "-m", "elasticjob_operator"],
        environment={
            "PATH": f"{sys.base_prefix}/bin:{_SYSTEM_PATH}",
            "PYTHONPATH": f"/{below}",
            "PYTHONUNBUFFERED": "1",
        },
        user=_NOBODY_ELSE,
    )


def client(project: Path) -> Image:
    """Return the image from which an init container copies rdzv_client, and no operator."""
    files = archive.tree(project, "opt/elasticjob/client")
    content = [_without_operator(entry) for entry in files if not _is_operators(entry.path)]
    return Image(
        f"elasticjob/client:{distribution.version()}",
        [_GROUND, content],
        command=["sh"],
        environment={"PATH": _SYSTEM_PATH},
        user=_NOBODY_ELSE,
    )


def digits() -> Image:
    """Return the example's training image: its script; torch is in the training environment."""
    names = ("requirements.txt", "train.py")
    files = [Entry(f"workspace/{name}", _EXAMPLE / name) for name in names]
    return Image(
        f"elasticjob/digits:{distribution.version()}",
        [_GROUND, files],
        command=["torchrun", "train.py"],
        environment={"PATH": f"{paths.training() / 'bin'}:{_SYSTEM_PATH}"},
        folder="/workspace",
        user=str(_TRAINER),
    )


def _is_operators(path: str) -> bool:
    return "/elasticjob_operator/" in path


def _without_operator(entry: Entry) -> Entry:
    """Return the entry, and if it is the list of installed files, without those left out."""
    if not (entry.path.endswith(".dist-info/RECORD") and isinstance(entry.content, Path)):
        return entry
    lines = entry.content.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("elasticjob_operator/")]
    return Entry(entry.path, "".join(kept).encode(), entry.mode)


def build() -> dict[str, Path]:
    """Return the archive of each image by its reference, writing those whose content changed.

    Safe to call from several processes at once.

    Raises:
        LocalClusterError: something that goes into an image cannot be built.
    """
    folder = paths.cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        project = distribution.unpacked(folder)
        ours = [operator(distribution.dependencies(folder), project), client(project)]
        return {
            image.reference: _archive(image, folder) for image in (pause(), etcd(), digits(), *ours)
        }


def _archive(image: Image, folder: Path) -> Path:
    name = image.reference.replace("/", "-").replace(":", "-")
    path = folder / f"{name}-{archive.key(image)}.tar"
    if not path.exists():
        with step(f"writing the image {image.reference}"):
            archive.write(image, path, platform.machine())
        for older in folder.glob(f"{name}-*.tar"):
            if older != path:
                older.unlink()
    return path


def bring(node: Node, pid: int, archives: dict[str, Path], ctr: Path) -> list[str]:
    """Import into a node's containerd what it does not have yet; return the references imported.

    Raises:
        LocalClusterError: containerd refused one.
    """
    record = node.folder / "images.json"
    present = json.loads(record.read_text()) if record.exists() else {}
    missing = {ref: path for ref, path in archives.items() if present.get(ref) != path.name}
    log = node.folder / "log" / "images.log"
    for reference, path in missing.items():
        command = machine.enter(pid, str(ctr), "--namespace=k8s.io", "images", "import", str(path))
        with log.open("a") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise failure(f"{node.name} cannot import the image {reference}", log)
        present[reference] = path.name
        record.write_text(json.dumps(present, indent=2))
    return list(missing)
