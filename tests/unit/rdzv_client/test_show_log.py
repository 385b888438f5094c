"""What the rendezvous says appears under torchrun, however that was started, and only once."""

import io
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from rdzv_client import k8s

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("module", ["torch.distributed.run", "rdzv_client.run"])
def test_each_round_is_one_line_of_torchruns_output(module, tmp_path):
    (tmp_path / "train.py").write_text("pass")
    rendezvous = ["--nnodes=1:1", "--rdzv-backend=c10d-v2", f"--rdzv-endpoint={tmp_path}/store"]
    options = ["--rdzv-id=lines", "--rdzv-conf=store_type=file", str(tmp_path / "train.py")]
    done = subprocess.run(
        [sys.executable, "-m", module, *rendezvous, *options],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("rendezvous: Round 1 of run lines: rank 0 of 1") == 1


@pytest.fixture
def said(monkeypatch):
    """What a new process says of a round, after something has used the root logger."""

    def said(set_up):
        root, log, stream = logging.getLogger(), logging.getLogger("rdzv_client"), io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        for logger, level in ((root, logging.WARNING), (log, logging.NOTSET)):
            monkeypatch.setattr(logger, "handlers", [])
            monkeypatch.setattr(logger, "level", level)
        monkeypatch.setattr(log, "propagate", True)
        root.manager._clear_cache()
        set_up()
        k8s.show_log()
        log.getChild("handler").info("Round 1")
        return stream.getvalue()

    yield said
    monkeypatch.undo()
    logging.getLogger().manager._clear_cache()


def test_a_root_logger_that_torch_used_in_passing_hides_nothing(said):
    lines = said(lambda: logging.info("as torch 2.5 does")).splitlines()  # noqa: LOG015
    assert [line.partition(" rendezvous: ")[2] for line in lines] == ["Round 1"]


def test_a_root_logger_set_up_on_purpose_is_kept(said):
    mine = said(lambda: logging.basicConfig(format="mine: %(message)s", level=logging.INFO))
    assert mine == "mine: Round 1\n"


def test_a_root_logger_that_was_told_to_be_quiet_is_quiet(said):
    assert not said(lambda: logging.basicConfig(level=logging.ERROR))


def test_its_level_is_chosen_by_a_variable(said, monkeypatch):
    monkeypatch.setenv("RDZV_LOG_LEVEL", "warning")
    assert not said(lambda: None)
    monkeypatch.setenv("RDZV_LOG_LEVEL", "loud")
    with pytest.raises(ValueError, match="RDZV_LOG_LEVEL='loud' must be one of DEBUG, INFO"):
        said(lambda: None)
