"""Commands: shown as typed, run, and followed."""

import json
import os
import queue
import select
import subprocess
import sys
import textwrap

import pytest

from examples.demo.commands import CommandError, Tools, read_documents
from examples.demo.narrator import Narrator


@pytest.fixture
def tools():
    return Tools(Narrator())


def test_a_command_is_shown_as_it_would_be_typed_and_so_is_its_output(tools, capsys):
    assert tools.show("echo", "two words") == "two words\n"
    assert capsys.readouterr().out == "$ echo 'two words'\n  two words\n"


def test_a_command_that_fails_says_what_it_said(tools):
    with pytest.raises(CommandError, match=r"`ls /nowhere` ended with status 2: .*/nowhere"):
        tools.ask("ls", "/nowhere")


def test_a_program_that_is_not_there_is_named(tools):
    with pytest.raises(CommandError, match="no-such-program is not installed"):
        tools.ask("no-such-program")


def test_a_command_that_hangs_is_ended(tools):
    with pytest.raises(CommandError, match=r"`sleep 60` took longer than 0 s"):
        tools.ask("sleep", "60", timeout_s=0.1)


def test_the_cluster_of_the_tools_is_the_one_commands_see(tmp_path):
    tools = Tools(Narrator(), kubeconfig=tmp_path / "config", folder=tmp_path)
    assert tools.environment["KUBECONFIG"] == str(tmp_path / "config")
    assert tools.environment["PATH"].startswith(f"{tmp_path}:")


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
