"""The launcher is torchrun, with our backends in torch's own registry."""

import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed import run as torchrun
from torch.distributed.elastic.rendezvous import api as torch_api

from rdzv_client import plugins, run

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def started(monkeypatch):
    """What torchrun was started with, by a torch that has not loaded any plug-in."""
    started = []
    monkeypatch.setattr(torchrun, "main", started.append)
    monkeypatch.setattr(torch_api.rendezvous_handler_registry, "_registry", {})
    return started


def test_torchrun_is_started_with_the_same_arguments(started):
    run.main(["--nnodes=1:2", "train.py", "--help"])
    assert started == [["--nnodes=1:2", "train.py", "--help"]]


def test_the_arguments_are_the_processs_own_if_none_are_given(started, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "train.py"])
    run.main()
    assert started == [["train.py"]]


def test_torchs_registry_knows_our_names_then(started):
    run.main([])
    run.main([])
    assert torch_api.rendezvous_handler_registry._registry == plugins.CREATORS


def test_a_name_that_another_package_has_taken_is_an_error(started):
    torch_api.rendezvous_handler_registry.register("k8s", len)
    with pytest.raises(SystemExit, match="another package has taken the name 'k8s'"):
        run.main([])
    assert started == []


def test_a_torch_that_is_too_old_is_refused(started, monkeypatch):
    monkeypatch.delattr(torch_api, "RendezvousInfo")
    with pytest.raises(SystemExit, match=r"needs torch 2\.4 or newer"):
        run.main([])
    assert started == []


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_says_what_it_is_for_before_torchruns_own(started, capsys, flag):
    run.main([flag])
    assert capsys.readouterr().out.startswith(run.__doc__)
    assert started == [[flag]]


def test_as_a_command_it_runs_a_training_script(tmp_path):
    (tmp_path / "train.py").write_text("import os; print('rank', os.environ['RANK'])")
    command = ["-m", "rdzv_client.run", "--nnodes=1", str(tmp_path / "train.py")]
    done = subprocess.run(
        [sys.executable, *command], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (0, "rank 0\n"), done.stderr
