"""Builds the cluster's programs from the Go modules named in `go.mod`, once, and keeps them."""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster import paths
from localcluster.errors import LocalClusterError
from localcluster.progress import REPEAT_S, failure, say, spell

ETCD = "go.etcd.io/etcd/server/v3"

# In the order in which they are built: what tests need alone comes first.
PACKAGES = {
    "etcd": ETCD,
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "containerd": "github.com/containerd/containerd/v2/cmd/containerd",
    "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    "ctr": "github.com/containerd/containerd/v2/cmd/ctr",
    "coredns": "./coredns",
    "pause": "./pause",
    "helm": "helm.sh/helm/v3/cmd/helm",
}

# What a cluster does not need; each has a Go module of its own, in a folder of its name.
APART = {
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
}

_SOURCES = ("go.mod", "go.sum", "coredns/main.go", "pause/main.go")


def version(module: str) -> str:
    """Return the version of a Go module that `go.mod` asks for, such as "v1.37.2".

    Raises:
        LocalClusterError: it does not name the module.
    """
    wanted = re.search(
        rf"^(?:require )?\s*{re.escape(module)} (v\S+)",
        (paths.HERE / "go.mod").read_text(),
        re.MULTILINE,
    )
    if wanted is None:
        raise LocalClusterError(f"{paths.HERE / 'go.mod'} does not require {module}")
    return wanted[1]


def flags() -> list[str]:
    """Return the flags of `go build`; they tell the programs their versions."""
    kubernetes = version("k8s.io/kubernetes")
    major, minor, _ = kubernetes[1:].split(".")
    told = {
        "k8s.io/component-base/version.gitVersion": kubernetes,
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "github.com/containerd/containerd/v2/version.Version": version(
            "github.com/containerd/containerd/v2"
        ),
        "helm.sh/helm/v3/internal/version.version": version("helm.sh/helm/v3"),
    }
    return [
        "-trimpath",
        "-tags=no_btrfs no_devmapper no_zfs",
        "-ldflags=-s -w " + " ".join(f"-X {name}={value}" for name, value in told.items()),
    ]


def folder() -> Path:
    """Return the folder of the binaries, named after everything that decides what is in them."""
    digest = hashlib.sha256()
    for source in _SOURCES:
        digest.update((paths.HERE / source).read_bytes())
    digest.update("\0".join((*flags(), *PACKAGES.values(), platform.machine())).encode())
    return paths.cache() / f"bin-{digest.hexdigest()[:12]}"


def ensure(names: Iterable[str] | None = None) -> dict[str, Path]:
    """Return the path of each named program, building what is missing; by default all of a cluster.

    Safe to call from several processes at once: they build one after another. A first build of all
    takes about 12 minutes on two processors; it says how far it is. Its logs stay in the folder.

    Raises:
        LocalClusterError: a name is unknown, Go is missing, or a build failed.
    """
    wanted = list(PACKAGES) if names is None else list(names)
    if unknown := sorted(set(wanted) - set(PACKAGES) - set(APART)):
        known = ", ".join((*PACKAGES, *APART))
        raise LocalClusterError(f"unknown program {', '.join(unknown)}; there are: {known}")
    binaries = _paths(wanted)
    if _missing(binaries):
        with _lock(folder()):
            _build(_missing(binaries))
    return binaries


def check() -> None:
    """Check that all programs are built, or can be.

    Raises:
        LocalClusterError: Go is missing, or too old.
    """
    _check_go(_missing(_paths(PACKAGES)))


def _check_go(missing: list[Path]) -> None:
    if not missing:
        return
    needed = _go_version((paths.HERE / "go.mod").read_text())
    told = ".".join(map(str, needed))
    what = f"the cluster's programs ({', '.join(path.name for path in missing)}) are built with Go"
    if shutil.which("go") is None:
        raise LocalClusterError(
            f"{what}, and there is no `go` in PATH ({os.environ.get('PATH', '')}): install Go "
            f"{told} or later, or put it there"
        )
    # Beside a go.mod, a Go since 1.21 fetches the version that this asks for, if it may.
    asked = subprocess.run(
        ["go", "version"], cwd=paths.HERE, capture_output=True, text=True, check=False
    )
    there = _go_version(asked.stdout.replace(" go1", " go 1"))
    if asked.returncode or there < needed:
        said = (asked.stdout if there else asked.stderr).strip()
        raise LocalClusterError(f"{what} {told} or later, and this one is too old: {said}")


def _go_version(text: str) -> tuple[int, ...]:
    found = re.search(r"(?:^|\s)go (\d+(?:\.\d+)*)", text, re.MULTILINE)
    return tuple(map(int, found[1].split("."))) if found else ()


def _paths(names: Iterable[str]) -> dict[str, Path]:
    return {name: (_folder_apart(name) if name in APART else folder()) / name for name in names}


def _folder_apart(name: str) -> Path:
    digest = hashlib.sha256(platform.machine().encode())
    for source in ("go.mod", "go.sum"):
        digest.update((paths.HERE / name / source).read_bytes())
    return paths.cache() / f"{name}-{digest.hexdigest()[:12]}"


def _missing(binaries: dict[str, Path]) -> list[Path]:
    ordered = [binaries[name] for name in (*PACKAGES, *APART) if name in binaries]
    return [path for path in ordered if not path.exists()]


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    target.mkdir(parents=True, exist_ok=True)
    with (target / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another process that is building the cluster's programs")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(missing: list[Path]) -> None:
    _check_go(missing)
    began = time.monotonic()
    for index, target in enumerate(missing, start=1):
        _build_one(target, f"building {target.name} ({index} of {len(missing)})", began)
    if missing:
        say(f"built {len(missing)} programs in {spell(time.monotonic() - began)}")


def _build_one(target: Path, what: str, began: float) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    log = target.with_name(f"{target.name}.log")
    apart = APART.get(target.name)
    package = apart or PACKAGES[target.name]
    command = ["go", "build", *flags(), "-o", str(partial), package]
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=paths.HERE / target.name if apart else paths.HERE,
            env={**os.environ, "CGO_ENABLED": "0"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            while _say_and_wait(process, f"{what}, {spell(time.monotonic() - began)} so far"):
                pass
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise failure(f"{what} failed", log)
    partial.rename(target)


def _say_and_wait(process: subprocess.Popen[bytes], line: str) -> bool:
    """Say the line, then wait a while; return whether the process still runs."""
    say(line)
    try:
        process.wait(REPEAT_S)
    except subprocess.TimeoutExpired:
        return True
    return False
