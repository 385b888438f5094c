"""What a pod says of a script that fails: in its log where the pod lives on, and in the end."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="the training environment is not installed")

pytestmark = pytest.mark.timeout(300)

LIMIT_S = 120  # a safety net: torch is imported several times on the way
RECORDED = """
from torch.distributed.elastic.multiprocessing.errors import record

@record
def main():
    raise ValueError("the rate is -1")

main()
"""


def torchrun(tmp_path, script, *flags):
    """Run it in a round of its own; return what was logged and the termination message."""
    program, message = tmp_path / "train.py", tmp_path / "termination-log"
    program.write_text(script)
    message.touch()
    flags = ("--rdzv-backend=c10d-v2", "--rdzv-endpoint=127.0.0.1:0", "--rdzv-id=run", *flags)
    done = subprocess.run(
        [sys.executable, "-m", "rdzv_client.run", "--nnodes=1:1", *flags, str(program)],
        env={**os.environ, "RDZV_TERMINATION_LOG": str(message), "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr, message.read_text()


def test_a_recorded_exception_is_in_the_log_of_each_restart_and_the_last_words(tmp_path):
    log, last_words = torchrun(tmp_path, RECORDED, "--max-restarts=1", "--nproc-per-node=1")
    words = "Worker of rank 0 (local rank 0) failed with exit code 1: ValueError: the rate is -1"
    assert log.count(words) == 2
    assert last_words.startswith(words)
    assert '  |     raise ValueError("the rate is -1")' in last_words.splitlines()
    assert "ChildFailedError" in log, "torch's own table is there all the same"


def test_of_a_script_that_records_nothing_rank_and_exit_code_are_logged(tmp_path):
    script = "import os, time; os.environ['LOCAL_RANK'] == '1' and os._exit(7); time.sleep(60)"
    log, last_words = torchrun(tmp_path, script, "--max-restarts=0", "--nproc-per-node=2")
    assert "Worker of rank 1 (local rank 1) failed with exit code 7\n" in log
    assert last_words == "", "Kubernetes takes the end of the log, which says more"
