"""Commands that are followed: line by line, object by object, beyond their own end."""

import json
import os
import queue
import select
import subprocess
import sys
import textwrap

import pytest

from examples.demo import follower as followers
from examples.demo.commands import Tools
from examples.demo.follower import read_documents
from examples.demo.narrator import Narrator


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.setattr(followers, "AGAIN_AFTER_S", 0.01)
    return Tools(Narrator())


def test_lines_are_handed_on_as_they_come(tools):
    lines = queue.Queue()
    follower = tools.follow("sh", "-c", "echo one; echo two; exec sleep 60")
    follower.lines(lines.put)
    assert [lines.get(timeout=30), lines.get(timeout=30)] == ["one", "two"]
    follower.stop()


def test_a_stream_of_indented_objects_is_cut_into_objects():
    objects = [{"a": {"b": "}"}}, {"c": ["{", {}]}]
    text = "".join(json.dumps(one, indent=4) + "\n" for one in objects)
    assert list(read_documents(iter(text.splitlines(keepends=True)))) == objects


def test_what_is_followed_ends_with_the_process_that_follows_it():
    program = """
        import os, queue
        from examples.demo.commands import Tools
        from examples.demo.narrator import Narrator
        pids = queue.Queue()
        follower = Tools(Narrator()).follow("sh", "-c", "echo $$; exec sleep 600")
        follower.lines(pids.put)
        print(pids.get(), flush=True)
        os.kill(os.getpid(), 9)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    pid = int(subprocess.run(command, capture_output=True, check=False).stdout)
    try:
        followed = os.pidfd_open(pid)
    except ProcessLookupError:
        return  # it has ended
    ended = select.select([followed], [], [], 30)[0]
    os.close(followed)
    assert ended, "it runs on"


def next_time(folder, *scripts):
    """A command that does another thing each time it is started."""
    count = folder / "count"
    cases = " ".join(f"{number}) {script};;" for number, script in enumerate(scripts, start=1))
    return f"echo >> {count}; case $(wc -l < {count}) in {cases} *) exec sleep 60;; esac"


def test_a_log_that_broke_off_is_read_on_where_it_was(tools, tmp_path):
    lines = queue.Queue()
    script = next_time(tmp_path, "echo one; echo two; exit 1", "echo one; echo two; echo three")
    follower = tools.follow("sh", "-c", script)
    follower.lines(lines.put)
    assert [lines.get(timeout=30) for _ in range(3)] == ["one", "two", "three"]
    follower.stop()
    assert lines.empty()


@pytest.mark.parametrize(
    "end", ["exit 0", "echo 'Error from server (NotFound): no such pod' >&2; exit 1"]
)
def test_a_log_that_has_ended_is_not_read_again(tools, tmp_path, end):
    lines = queue.Queue()
    follower = tools.follow("sh", "-c", next_time(tmp_path, f"echo one; {end}", "echo one; echo 2"))
    follower.lines(lines.put)
    follower._thread.join(30)
    assert not follower._thread.is_alive()
    assert list(lines.queue) == ["one"]


def test_a_watch_that_has_ended_is_begun_again(tools, tmp_path):
    objects = queue.Queue()
    show = [f"printf '{{\n  \"a\": {number}\n}}\n'" for number in (1, 2)]
    follower = tools.follow("sh", "-c", next_time(tmp_path, show[0], f"{show[1]}; exit 1"))
    follower.documents(objects.put)
    assert [objects.get(timeout=30), objects.get(timeout=30)] == [{"a": 1}, {"a": 2}]
    follower.stop()
