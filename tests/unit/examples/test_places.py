"""The clusters of the demo: what is said of one that is of no use, and whose job is spared."""

import os
import stat

import pytest

from examples.demo import places
from examples.demo.commands import CommandError
from examples.demo.narrator import Narrator

JOB = "elasticjob/digits"


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    """Have a kubectl that answers as the test says: `kubectl("get) echo found;;")`."""

    def answer(cases):
        program = tmp_path / "kubectl"
        program.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}\nesac\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return answer


def test_a_kubeconfig_that_is_not_there_is_named(kubectl, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    kubectl("config) echo 'error: current-context is not set' >&2; exit 1;;")
    words = r"KUBECONFIG is /nowhere/config\): .*current-context is not set"
    with pytest.raises(CommandError, match=words):
        places.Current(Narrator()).prepare(JOB)
    with pytest.raises(CommandError, match=words):
        places.Current(Narrator()).clear(JOB)


@pytest.mark.parametrize(
    ("found", "phase"), [('{"status": {"phase": "Running"}}', "Running"), ("{}", "new")]
)
def test_a_job_at_work_in_a_cluster_that_is_not_the_demos_is_left_alone(kubectl, found, phase):
    kubectl(f"get) echo '{found}';;")
    with pytest.raises(CommandError, match=rf"digits is there already, and is {phase}"):
        places.Current(Narrator()).prepare(JOB)


@pytest.mark.parametrize(
    "answer",
    [
        "true",
        """echo '{"status": {"phase": "Complete"}}'""",
        """echo "error: the server doesn't have a resource type" >&2; exit 1""",
    ],
    ids=["no job", "a job that is over", "no such kind"],
)
def test_a_cluster_with_nothing_in_the_way_is_used(kubectl, answer):
    kubectl(f"get) {answer};;")
    places.Current(Narrator()).prepare(JOB)
