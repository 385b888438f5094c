"""Where a cluster cannot run, one sentence says why and what can be done instead."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localcluster import cluster, host, leftovers, machine, paths, preflight
from localcluster.errors import LocalClusterError


def test_without_root_it_says_so_and_names_the_other_clusters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalClusterError, match=r"needs root.*CLUSTER=current.*CLUSTER=kind"):
        cluster.up("demo", 2)


def test_elsewhere_than_on_linux_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(LocalClusterError, match=r"Linux namespaces, and this is darwin.*CLUSTER="):
        host.check()


def test_without_a_package_manager_it_names_all_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(host, "network_plugins", lambda: None)
    with pytest.raises(LocalClusterError, match=r"runc, iproute2.*containernetworking-plugins"):
        host.provide()


def test_what_is_there_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.shutil, "which", lambda program, **_: f"/bin/{program}")
    monkeypatch.setattr(host, "network_plugins", lambda: "/usr/lib/cni")
    monkeypatch.setattr(host, "_install", lambda packages: pytest.fail(f"installs {packages}"))
    host.provide()


def test_a_new_cluster_is_refused_where_one_is_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELASTICJOB_STATE", str(tmp_path))
    monkeypatch.setattr(host, "check", lambda: None)
    monkeypatch.setattr(host, "provide", lambda: pytest.fail("goes on"))
    (tmp_path / "elasticjob" / "unique").mkdir(parents=True)
    with pytest.raises(LocalClusterError, match=r"a cluster unique already.*down --name unique"):
        cluster.up("unique", 2, new=True)


def test_nothing_is_left_of_a_command_that_made_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELASTICJOB_STATE", str(tmp_path))
    monkeypatch.setattr(host, "check", lambda: None)
    cluster.down("unique")
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_whose_state_is_elsewhere_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELASTICJOB_STATE", str(tmp_path))
    monkeypatch.setattr(host, "check", lambda: None)
    monkeypatch.setattr(machine, "elsewhere", lambda name, _: Path("/other/elasticjob", name))
    monkeypatch.setattr(leftovers, "found", lambda _: pytest.fail("goes on"))
    with pytest.raises(LocalClusterError, match=r"runs already.*end it with ELASTICJOB_STATE=/ot"):
        cluster.down("unique")


def test_what_is_missing_is_said_before_anything_is_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host, "check", lambda: None)
    monkeypatch.setenv("ELASTICJOB_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    assert preflight.main() == 1
    assert "there is no `go` in PATH (/nowhere)" in capsys.readouterr().err


def test_the_preflight_needs_the_standard_library_only() -> None:
    isolated = [sys.executable, "-S", "-E", "-m", "localcluster.preflight"]
    done = subprocess.run(isolated, cwd=paths.REPOSITORY, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
