"""Containers see this machine's programs read-only, and never bring rdzv_client that way."""

import sys
from pathlib import Path

import pytest

from localcluster import runtime_spec
from localcluster.errors import LocalClusterError

PLAIN = {
    "process": {"cwd": "/", "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}]},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "root": {"path": "rootfs"},
}


def test_every_view_is_read_only_and_at_its_own_path() -> None:
    spec = runtime_spec.build(PLAIN, [Path("/usr"), Path("/lib")])
    proc, *views = spec["mounts"]
    assert proc["destination"] == "/proc"
    assert [(view["destination"], view["source"]) for view in views] == [
        ("/usr", "/usr"),
        ("/lib", "/lib"),
    ]
    assert all("ro" in view["options"] and "rbind" in view["options"] for view in views)


def test_the_limit_on_open_files_is_dropped_and_all_else_is_kept() -> None:
    spec = runtime_spec.build(PLAIN, [])
    assert spec == {**PLAIN, "process": {"cwd": "/"}}


def test_a_path_is_shown_once_though_it_lies_inside_another() -> None:
    shown = runtime_spec.shown_paths()
    assert Path("/usr") in shown
    assert not any(one != other and one.is_relative_to(other) for one in shown for other in shown)


def test_a_python_that_has_rdzv_client_may_not_be_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(runtime_spec, "_pythons", lambda: {python})
    (tmp_path / "rdzv_client.py").write_text("")
    with pytest.raises(LocalClusterError, match=f"{python} can import rdzv_client") as refused:
        runtime_spec.write(tmp_path / "container.json", Path("never-run"))
    assert "uninstall it" in str(refused.value)
