"""The command line: what it takes, what it refuses in which words, and its exit status."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from elasticjob_operator import api
from elasticjob_operator.cli import main

IMAGE = ("--image", "trainer:1")


@pytest.fixture
def run(capsys):
    """Run the command; return its exit status, what it printed, and what it complained about."""

    def run(*words):
        try:
            status = main([*words])
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def submitted(run):
    """Return the job that would be submitted."""

    def submitted(*words):
        status, printed, complaint = run("submit", "digits", *IMAGE, "--dry-run", *words)
        assert (status, complaint) == (0, "")
        return yaml.safe_load(printed)

    return submitted


# --- submit ------------------------------------------------------------------------------------


def test_a_job_from_few_words(submitted):
    job = submitted("--", "torchrun", "train.py", "--lr=1")
    assert job == {
        "apiVersion": api.API_VERSION,
        "kind": api.KIND,
        "metadata": {"name": "digits"},
        "spec": {
            "minReplicas": 1,
            "maxReplicas": 1,
            "replicas": 1,
            "nprocPerNode": 1,
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "trainer",
                            "image": "trainer:1",
                            "command": ["torchrun", "train.py", "--lr=1"],
                        }
                    ]
                }
            },
        },
    }


def test_a_job_from_many_words(submitted):
    job = submitted(
        *(
            "--min=2",
            "--max=4",
            "--replicas=2",
            "--step=2",
            "--spares=1",
            "--gpus=8",
            "--cpu=16",
            "--memory=64Gi",
        ),
        *("--env", "LR=1", "--env", "A=b=c", "--label", "team=a", "--max-restarts=0"),
        *("--backend=c10d", "--suspend", "-n", "ml", "train.py"),
    )
    assert job["metadata"] == {"name": "digits", "namespace": "ml", "labels": {"team": "a"}}
    spec = job["spec"]
    [container] = spec.pop("template")["spec"]["containers"]
    assert spec == {
        "minReplicas": 2,
        "maxReplicas": 4,
        "replicas": 2,
        "replicaStep": 2,
        "spareReplicas": 1,
        "nprocPerNode": 8,
        "maxRestarts": 0,
        "rendezvous": {"backend": "c10d"},
        "runPolicy": {"suspend": True},
    }
    assert container["command"] == ["torchrun", "train.py"]
    assert container["env"] == [{"name": "LR", "value": "1"}, {"name": "A", "value": "b=c"}]
    assert container["resources"] == {
        "requests": {"cpu": "16", "memory": "64Gi"},
        "limits": {"nvidia.com/gpu": 8},
    }


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ((), (1, 1, 1)),
        (("--min=2",), (2, 2, 2)),
        (("--max=4",), (1, 4, 4)),
        (("--min=2", "--max=4"), (2, 4, 4)),
        (("--replicas=3",), (1, 3, 3)),
    ],
)
def test_sizes_that_are_left_out(submitted, given, sizes):
    spec = submitted(*given, "train.py")["spec"]
    assert (spec["minReplicas"], spec["replicas"], spec["maxReplicas"]) == sizes


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--min=3", "--max=2"), "--replicas (2) must lie between --min (3) and --max (2)"),
        (("--max=2", "--replicas=3"), "--replicas (3) must lie between --min (1) and --max (2)"),
        (
            ("--max=10000", "--replicas=1"),
            "maxReplicas is 10000: Input should be less than or equal to 9999",
        ),
        (("--min=0",), "argument --min: '0' is not a whole number from 1 on"),
        (("--nproc=all",), "'all' is neither a number from 1 on nor auto, gpu or cpu"),
        (("--env=LR",), "argument --env: 'LR' is not NAME=VALUE"),
        (("--backend=nfs",), "invalid choice: 'nfs'"),
    ],
)
def test_flags_that_cannot_be_are_refused(run, words, complaint):
    status, printed, said = run("submit", "digits", *IMAGE, "--dry-run", *words, "train.py")
    assert (status, printed) == (2, "")
    assert complaint in said


# --- convert -----------------------------------------------------------------------------------

PYTORCHJOB = """
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: digits}
spec:
  elasticPolicy: {minReplicas: 1, maxReplicas: 2, rdzvId: x}
  pytorchReplicaSpecs:
    Worker:
      template: {spec: {containers: [{name: pytorch, image: 'a:1', command: [torchrun, a.py]}]}}
"""
LEFT_OUT = (
    "elasticjob: digits: spec.elasticPolicy.rdzvId is left out: the operator runs the store in"
    " which the workers meet\n"
)


def test_a_file_is_converted_and_what_it_lacks_is_said_apart(run, tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text(f"{PYTORCHJOB}---{PYTORCHJOB}")
    status, printed, said = run("convert", str(file))
    jobs = list(yaml.safe_load_all(printed))
    assert (status, [job["kind"] for job in jobs]) == (0, ["ElasticJob", "ElasticJob"])
    assert said == 2 * LEFT_OUT


def test_standard_input_is_converted(run, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(PYTORCHJOB))
    status, printed, _ = run("convert", "-")
    assert (status, yaml.safe_load(printed)["metadata"]["name"]) == (0, "digits")


def test_a_file_of_which_one_job_cannot_be_converted_prints_none(run, tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text(f"{PYTORCHJOB}---\nkind: MPIJob\napiVersion: kubeflow.org/v1\n")
    status, printed, said = run("convert", str(file))
    assert (status, printed) == (2, "")
    assert said.startswith("elasticjob: MPIJob (kubeflow.org/v1) cannot be converted; what can: ")


def test_a_file_that_is_not_there(run, tmp_path):
    status, _, said = run("convert", str(tmp_path / "none.yaml"))
    assert status == 2
    assert said.startswith(f"elasticjob: {tmp_path}/none.yaml cannot be read: ")


# --- the command -------------------------------------------------------------------------------


def test_without_a_verb_the_verbs_are_told(run):
    status, _, said = run()
    assert status == 2
    assert "the following arguments are required: VERB" in said


@pytest.mark.parametrize("words", [["list"], ["status", "digits"], ["watch", "digits"]])
def test_without_a_way_to_a_cluster_that_is_said(run, tmp_path, words):
    status, printed, said = run(*words, "--kubeconfig", str(tmp_path / "none"))
    assert (status, printed) == (3, "")
    assert said.startswith("elasticjob: no way to a cluster is known: ")
    assert len(said.splitlines()) == 1


def test_a_server_that_is_away_is_said_in_one_line(run, tmp_path):
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(kubeconfig))
    status, _, said = run("list", "--kubeconfig", str(tmp_path / "config"))
    assert status == 3
    assert said.startswith("elasticjob: the API server does not answer: ")
    assert len(said.splitlines()) == 1


def test_as_a_plug_in_it_speaks_of_kubectl(run, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/kubectl-elasticjob"])
    _, printed, _ = run("--help")
    assert printed.startswith("usage: kubectl elasticjob [-h]")


def test_in_a_training_image_it_says_what_is_missing():
    """There the base install has the command, and not what it needs."""
    folder = Path(api.__file__).parents[1]
    words = (
        f"import sys; sys.path[:] = [{str(folder)!r}, *sys.path]; sys.modules['pydantic'] = None"
    )
    call = "from elasticjob_operator.cli import main; sys.exit(main(['list']))"
    done = subprocess.run(
        [sys.executable, "-c", f"{words}; {call}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "elasticjob: pydantic is missing: pip install 'elasticjob[cli]'\n"
