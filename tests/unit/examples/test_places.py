"""The clusters of the demo: what is said of one that is of no use, and whose job is spared."""

import json
import os
import stat

import pytest

from examples.demo import places, release
from examples.demo.commands import CommandError, Tools
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


@pytest.fixture
def helm(tmp_path, kubectl):
    """Have a helm that knows one release, so described; return what else it was told to do."""

    def answer(description):
        kubectl("*) true;;")
        status = json.dumps({"info": {"description": description}})
        program = tmp_path / "helm"
        cases = f"list) echo elasticjob;; status) echo '{status}';; *) echo $1 >> {tmp_path}/told;;"
        program.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}\nesac\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (tmp_path / "told").touch()
        return tmp_path / "told"

    return answer


@pytest.mark.parametrize(
    ("description", "told"),
    [("Install complete", ""), (release.MADE_BY, "upgrade\nuninstall\n")],
    ids=["another's", "the demo's"],
)
def test_an_operator_that_the_demo_did_not_install_is_used_as_it_is_and_stays(
    helm, description, told
):
    done = helm(description)
    release.install(Tools(Narrator()))
    places.Current(Narrator()).clear(JOB)
    assert done.read_text() == told
