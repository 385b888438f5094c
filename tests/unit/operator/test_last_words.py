"""Which line of a failed container's log is quoted. The logs are torchrun's, shortened."""

import pytest

from elasticjob_operator import last_words

AGENT = "E1125 01:09:58.849000 1 torch/distributed/elastic/multiprocessing/api.py:1002]"
LAUNCHER = """\
Traceback (most recent call last):
  File "/opt/venv/bin/torchrun", line 8, in <module>
    sys.exit(main())
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  exitcode  : 1 (pid: 42)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================
"""
TRACEBACK = """\
Traceback (most recent call last):
  File "/workspace/train.py", line 1, in <module>
    raise ValueError("the rate is -1")
ValueError: the rate is -1
"""
RECORDED = """\
  traceback : Traceback (most recent call last):
    File "/workspace/train.py", line 3, in main
      raise ValueError("the rate is -1")
  ValueError: the rate is -1

============================================================
"""


ROUND = "2026-11-25 15:21:24,164 rendezvous: Round 13 of run r: rank 0 of 1 after 0.02 s\n"


def failed(code):
    return f"{AGENT} failed (exitcode: {code}) local_rank: 0 (pid: 42) of binary: python3\n"


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (TRACEBACK + failed(1) + LAUNCHER, "ValueError: the rate is -1"),
        (LAUNCHER + RECORDED, "ValueError: the rate is -1"),
        ("[rank0]: torch.OutOfMemoryError: CUDA\n", "torch.OutOfMemoryError: CUDA"),
        (
            "usage: torchrun [-h]\ntorchrun: error: unrecognized arguments: --no-such\n",
            "torchrun: error: unrecognized arguments: --no-such",
        ),
        (
            "python3: can't open file '/x.py': [Errno 2] No such file or directory\n"
            + failed(2)
            + LAUNCHER,
            "python3: can't open file '/x.py': [Errno 2] No such file or directory",
        ),
        ("sh: 1: torchrunn: not found\n", "sh: 1: torchrunn: not found"),
        ("width must be 8\n" + failed(1) + LAUNCHER, "width must be 8 (exit code 1)"),
        (failed(-11) + LAUNCHER, "its worker: ended by signal 11"),
        (ROUND + failed(7) + LAUNCHER, "its worker: exit code 7"),
        ("bye\n" + ROUND, "bye"),
        (ROUND, ROUND.strip()),
        ("epoch 1\nbye\n\n", "bye"),
        ("", ""),
    ],
    ids=str,
)
def test_the_line_that_says_why_is_found(log, line):
    assert last_words.find(log) == line


def test_a_line_without_end_is_cut():
    assert len(last_words.find("ValueError: " + "x" * 5000)) == last_words.LINE_CHARS


def test_the_launchers_own_words_are_better_than_none():
    assert "ChildFailedError" not in last_words.find(failed(3) + LAUNCHER)


# --- as the client tells -------------------------------------------------------------------------

CLIENT = "2026-11-25 12:00:00,000 rendezvous: Worker of rank 3 (local rank 1) "
SAID = CLIENT + "failed with exit code 1: ValueError: the rate is -1\n"
QUOTED = "  | Traceback (most recent call last):\n  | ValueError: the rate is -1\n"


@pytest.mark.parametrize("before", ["", TRACEBACK + failed(1), SAID.replace("-1", "-2")])
@pytest.mark.parametrize("after", ["", LAUNCHER, "RuntimeError: later\n"])
def test_what_the_client_says_of_the_first_worker_outweighs_all_else(before, after):
    said = last_words.read(before + SAID + QUOTED + after)
    assert (said.rank, said.local_rank, said.exit_code) == (3, 1, 1)
    assert said.line == "ValueError: the rate is -1"
    assert said.traceback == "Traceback (most recent call last):\nValueError: the rate is -1"


@pytest.mark.parametrize(
    ("how", "code"), [("failed with exit code 7", 7), ("was ended by signal 11", -11)]
)
def test_of_a_script_that_records_nothing_the_log_has_the_words(how, code):
    said = last_words.read(TRACEBACK + CLIENT + how + "\n" + LAUNCHER)
    assert (said.rank, said.exit_code, said.traceback) == (3, code, "")
    assert said.line == "ValueError: the rate is -1"


def test_words_from_before_the_last_restart_are_not_this_failures():
    log = (
        TRACEBACK
        + CLIENT
        + "failed with exit code 1\nepoch 2\n"
        + CLIENT
        + "failed with exit code 7"
    )
    assert last_words.read(log).line == "epoch 2"


def test_a_traceback_without_end_is_cut():
    said = last_words.read(SAID + "  | xxxxxxxxxxxxxxx\n" * 1000 + "  | the end")
    assert len(said.traceback) == last_words.TRACEBACK_CHARS
    assert said.traceback.endswith("the end")


@pytest.mark.parametrize(
    ("line", "echoes"),
    [
        ("torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp", True),
        (
            "RuntimeError: [gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]",
            True,
        ),
        ("ValueError: the rate is -1", False),
        ("torch.OutOfMemoryError: CUDA out of memory", False),
    ],
)
def test_peers_of_a_failed_worker_only_echo_it(line, echoes):
    assert last_words.LastWords(line).echoes is echoes
