"""What is said when the kernel kills a process of the container: cgroups of both versions."""

import pytest

from elasticjob_operator import last_words
from rdzv_client import memory

VERSIONS = {
    "second": ("memory.events", "low 0\noom 1\noom_kill {}\n", "memory.max", "max"),
    "first": (
        *("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"),
        *("memory/memory.limit_in_bytes", "9223372036854771712"),
    ),
}
KILLED = "out of memory: the kernel killed a process of the container"


@pytest.fixture(params=VERSIONS.values(), ids=VERSIONS)
def container(request, tmp_path):
    """Say how many processes were killed, and what the limit is."""
    events, text, limit, unlimited = request.param
    (tmp_path / "memory").mkdir()

    def say(killed, limit_bytes=None):
        (tmp_path / events).write_text(text.format(killed))
        (tmp_path / limit).write_text(f"{limit_bytes or unlimited}\n")
        return tmp_path

    return say


def test_each_kill_is_said_once_with_the_limit(container):
    kills = memory.Kills(container(killed=2, limit_bytes=768 << 20))
    assert kills.news() == "", "those from before are another's"
    container(killed=3, limit_bytes=768 << 20)
    assert kills.news() == f"{KILLED}, which may use 768 MiB"
    assert kills.news() == ""


def test_a_container_may_have_no_limit(container):
    kills = memory.Kills(container(killed=0))
    container(killed=1)
    assert kills.news() == KILLED


@pytest.mark.parametrize("text", [None, "", "oom_kill many\n"], ids=str)
def test_where_the_kernel_says_nothing_nothing_is_said(tmp_path, text):
    if text is not None:
        (tmp_path / "memory.events").write_text(text)
    assert memory.Kills(tmp_path).news() == ""


def test_the_operator_knows_the_words(container):
    kills = memory.Kills(container(killed=0))
    container(killed=1)
    said = f"Worker of rank 3 (local rank 1) was ended by signal 9: {kills.news()}"
    assert last_words.read(said).lacked_memory
    assert not last_words.LastWords("RuntimeError: CUDA out of memory").lacked_memory
