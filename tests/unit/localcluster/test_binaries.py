"""The programs come from go.mod alone, and each set of sources has a folder of its own."""

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from localcluster import binaries, paths
from localcluster.errors import LocalClusterError

REAL = paths.HERE


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the Go module, with a cache of its own beside it."""
    copy = tmp_path / "module"
    for name in binaries._SOURCES:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.HERE / name, copy / name)
    monkeypatch.setattr(paths, "HERE", copy)
    monkeypatch.setenv("ELASTICJOB_CACHE", str(tmp_path / "cache"))
    return copy


def test_a_version_is_the_one_in_go_mod() -> None:
    assert binaries.version(binaries.ETCD) == "v3.7.3"
    assert binaries.version("github.com/coredns/coredns").startswith("v1.")


def test_a_module_that_go_mod_does_not_name_is_an_error() -> None:
    with pytest.raises(LocalClusterError, match=r"go\.mod does not require example\.com/none"):
        binaries.version("example.com/none")


def test_the_staging_modules_are_of_the_release_that_is_built() -> None:
    minor = binaries.version("k8s.io/kubernetes").removeprefix("v1.")
    replaced = [line for line in (paths.HERE / "go.mod").read_text().splitlines() if "=>" in line]
    assert len(replaced) > 20
    assert all(line.endswith(f" v0.{minor}") for line in replaced)


def test_programs_that_know_their_version_are_told_it() -> None:
    told = " ".join(binaries.flags())
    kubernetes = binaries.version("k8s.io/kubernetes")
    assert f"k8s.io/component-base/version.gitVersion={kubernetes}" in told


@pytest.mark.parametrize(("name", "package"), binaries.APART.items())
def test_what_a_cluster_does_not_need_is_built_from_a_module_of_its_own(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    module = sources / name
    module.mkdir()
    for file in ("go.mod", "go.sum"):
        shutil.copy(REAL / name / file, module / file)
    assert f"tool {package}\n" in (module / "go.mod").read_text()
    script = 'while [ "$1" != -o ]; do shift; done; pwd > "$2"; echo "$3" >> "$2"'
    pretend_go(tmp_path, script, monkeypatch)
    built = binaries.ensure([name])[name]
    assert built.read_text().split() == [str(module), package]
    assert built.parent != binaries.folder()


def test_another_source_means_another_folder_and_the_old_one_is_kept(sources: Path) -> None:
    before = binaries.folder()
    assert binaries.folder() == before
    (sources / "pause" / "main.go").write_text("package main\n")
    assert binaries.folder() != before
    assert binaries.folder().parent == before.parent


def test_an_unknown_program_is_answered_with_the_known() -> None:
    with pytest.raises(LocalClusterError, match="unknown program kubeadm; there are: etcd, "):
        binaries.ensure(["etcd", "kubeadm"])


def test_what_is_built_is_not_built_again(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binaries.folder().mkdir(parents=True)
    (binaries.folder() / "etcd").touch()
    monkeypatch.setenv("PATH", "")
    assert binaries.ensure(["etcd"]) == {"etcd": binaries.folder() / "etcd"}


def test_without_go_the_error_names_what_was_to_be_built(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LocalClusterError, match=r"\(etcd, ctr\) are built with Go.*install Go"):
        binaries.ensure(["ctr", "etcd"])


def pretend_go(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    version = '[ "$1" = version ] && echo go version go1.99.0 linux/amd64 && exit'
    (folder / "go").write_text(f"#!/bin/sh\n{version}\n{script}\n")
    (folder / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_a_failed_build_shows_the_end_of_its_log_and_leaves_no_program(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_go(tmp_path, "echo 'undefined: frobnicate'; exit 1", monkeypatch)
    with pytest.raises(LocalClusterError, match=r"etcd \(1 of 1\).*failed") as failed:
        binaries.ensure(["etcd"])
    assert "undefined: frobnicate" in str(failed.value)
    assert not (binaries.folder() / "etcd").exists()


def test_two_at_once_build_each_program_once(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = tmp_path / "built"
    script = f'echo "$*" >> {built}; while [ "$1" != -o ]; do shift; done; touch "$2"'
    pretend_go(tmp_path, script, monkeypatch)
    both = [threading.Thread(target=binaries.ensure, args=(["etcd"],)) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(built.read_text().splitlines()) == 1


def test_our_own_go_programs_are_formatted() -> None:
    if shutil.which("gofmt") is None:
        pytest.skip("gofmt is not installed")
    programs = [paths.HERE / name for name in binaries._SOURCES if name.endswith(".go")]
    found = subprocess.run(["gofmt", "-l", *programs], capture_output=True, text=True, check=True)
    assert found.stdout == ""


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo go version go1.19.8 linux/amd64", "too old: go version go1.19.8"),
        ("echo go: toolchain not available >&2; exit 1", "too old: go: toolchain not available"),
    ],
)
def test_a_go_that_is_too_old_is_told_before_anything_is_built(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "go").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    with pytest.raises(LocalClusterError, match=rf"built with Go 1\.26.*{words}"):
        binaries.check()
    pretend_go(programs, "exit 1", monkeypatch)
    binaries.check()
