"""Commands: shown as typed, and run."""

import pytest

from examples.demo.commands import CommandError, Tools
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
