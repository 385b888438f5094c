"""The release's own life under a job that trains: tested, its leader killed, upgraded, removed."""

from pathlib import Path

from examples.demo import release, story

IN_NAMESPACE = f"--namespace={release.NAMESPACE}"
CHART = Path(__file__).parents[2] / release.CHART


def test_helm_test_forms_a_round(operator):
    words = ("helm", "test", release.RELEASE, IN_NAMESPACE, "--logs", "--timeout=200s")
    said = operator.tools.show(*words, timeout_s=230)
    assert "Succeeded" in said
    assert "Complete: all 2 workers of round 1 ended with success" in said
    left = operator.tools.ask("kubectl", "get", "elasticjobs", IN_NAMESPACE, "--output=name")
    assert left == ""


def test_a_job_outlives_its_operators(operator, run, manifest):
    job, tools = run(manifest(epochs=2000, width=64)), operator.tools
    before = job.wait("an epoch of two workers", lambda known: story.count_epochs(known, 2) >= 1)
    pods = job.pods()

    killed = operator.leader()
    tools.show("kubectl", "delete", f"pod/{killed}", IN_NAMESPACE, "--grace-period=0", "--force")
    job.scale(3)
    job.wait("an epoch of three workers", lambda known: story.count_epochs(known, 3) >= 1)
    assert operator.leader() != killed
    assert set(pods) < set(job.pods()), "those that were there are there still"

    values = ("--reuse-values", "--set=operator.workers=4", "--wait", "--timeout=120s")
    words = ("helm", "upgrade", release.RELEASE, str(CHART), IN_NAMESPACE, "--hide-notes")
    tools.show(*words, *values, timeout_s=150)
    tools.show("helm", "uninstall", release.RELEASE, IN_NAMESPACE, "--wait", timeout_s=120)
    crd = tools.ask("kubectl", "get", "crd/elasticjobs.rdzv.dev", "--output=name")
    assert crd.strip() == "customresourcedefinition.apiextensions.k8s.io/elasticjobs.rdzv.dev"
    steps = len(job.known.steps)
    job.wait("training without an operator", lambda known: len(known.steps) > steps + 3)
    release.install(tools)
    job.scale(2)
    known = job.wait("two workers", lambda known: known.job["status"]["replicas"] == 2)
    assert known.job["status"]["restarts"]["counted"] == 0
    assert known.job["status"]["restarts"]["infrastructure"] == 0
    assert known.job["metadata"]["uid"] == before.job["metadata"]["uid"]
    job.delete()
    job.wait_until_nothing_remains()
