"""Where a cluster cannot run, one sentence says why and what can be done instead."""

import os
import sys

import pytest

from localcluster import cluster, host
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
