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
