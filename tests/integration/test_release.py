"""The chart's life on a real API server: installed, upgraded over an older CRD, uninstalled.

No node runs its pods here; tests/e2e/test_chart.py sees them run.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from localcluster import binaries, controlplane

CHART = Path(__file__).parents[2] / "charts" / "elasticjob"
CRD = "elasticjobs.rdzv.dev"
PART = "--selector=app.kubernetes.io/instance=elasticjob"
KINDS = "deployments,services,roles,rolebindings,serviceaccounts,poddisruptionbudgets"


@pytest.fixture(scope="module")
def bare_plane(tmp_path_factory):
    """An API server that has never heard of the project."""
    folder = tmp_path_factory.mktemp("bare")
    with controlplane.running(folder / "plane", controllers=True) as plane:
        yield plane


@pytest.fixture
def ask(bare_plane):
    """Run helm or kubectl in the release's namespace; return what it says."""
    programs = binaries.ensure(["helm", "kubectl"])

    def ask(program, *words):
        done = subprocess.run(
            [programs[program], "--namespace=system", *words],
            env={**os.environ, "KUBECONFIG": str(bare_plane.kubeconfig)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ask


@pytest.fixture
def older(tmp_path):
    """The chart of a release whose CRD had no short name yet."""
    chart = shutil.copytree(CHART, tmp_path / "older")
    path = chart / "files-crds" / "elasticjobs.yaml"
    crd = yaml.safe_load(path.read_text())
    del crd["spec"]["names"]["shortNames"]
    path.write_text(yaml.safe_dump(crd))
    return chart


def short_names(ask):
    return ask("kubectl", "get", "crd", CRD, "--output=jsonpath={.spec.names.shortNames[*]}")


def test_a_release_is_installed_upgraded_and_uninstalled_and_its_jobs_stay(ask, older):
    ask("helm", "install", "elasticjob", str(older), "--create-namespace")
    ask("kubectl", "wait", "--for=condition=Established", f"crd/{CRD}", "--timeout=30s")
    assert short_names(ask) == ""
    notes = ask("helm", "get", "notes", "elasticjob")
    assert "helm test elasticjob --namespace system" in notes

    ask("helm", "upgrade", "elasticjob", str(CHART), "--set=operator.replicas=1")
    assert short_names(ask) == "ej"
    deployment = json.loads(ask("kubectl", "get", "deployments", PART, "--output=json"))
    assert deployment["items"][0]["spec"]["replicas"] == 1
    assert ask("kubectl", "get", "poddisruptionbudgets", PART, "--output=name") == ""

    job = CHART.parents[1] / "examples" / "digits.yaml"
    ask("kubectl", "apply", f"--filename={job}")
    ask("helm", "uninstall", "elasticjob")
    jobs = ask("kubectl", "get", "elasticjobs", "--output=name")
    assert jobs.split() == ["elasticjob.rdzv.dev/digits"]
    assert ask("kubectl", "get", KINDS, PART, "--output=name") == ""

    # What an uninstall kept is taken over by the next install.
    ask("helm", "install", "elasticjob", str(CHART))
    assert ask("kubectl", "get", "elasticjobs", "--output=name") == jobs
