"""The release's own life under a job that runs: tested, killed, upgraded, removed, and back."""

import json

import pytest

from examples.demo import release, story

IN_NAMESPACE = f"--namespace={release.NAMESPACE}"
NEWER = "99.0.0"


class Release:
    """The operator's release, which may become another; what it was is restored by `install`."""

    def __init__(self, tools, chart, folder):
        self.tools = tools
        self._chart = str(chart)
        self._folder = folder
        self._as_it_was = True

    def upgrade(self):
        """Have helm upgrade to a newer chart with another client and another setting."""
        self._as_it_was = False
        package = ("helm", "package", self._chart, f"--version={NEWER}")
        self.tools.show(*package, f"--destination={self._folder}")
        (packaged,) = self._folder.glob("elasticjob-99*.tgz")
        words = ("helm", "upgrade", release.RELEASE, str(packaged), IN_NAMESPACE, "--hide-notes")
        values = (f"--set=client.image.tag={NEWER}", "--set=operator.workers=4")
        self.tools.show(*words, *values, "--wait", "--timeout=120s", timeout_s=150)

    def uninstall(self):
        self._as_it_was = False
        words = ("helm", "uninstall", release.RELEASE, IN_NAMESPACE, "--wait")
        self.tools.show(*words, timeout_s=120)

    def install(self):
        if not self._as_it_was:
            release.install(self.tools)
            self._as_it_was = True


@pytest.fixture
def installation(operator, request, tmp_path, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)
    installation = Release(operator.tools, request.config.rootpath / release.CHART, tmp_path)
    yield installation
    installation.install()


def client_of(tools, pod):
    body = json.loads(tools.ask("kubectl", "get", pod, "--output=json"))
    return body["spec"]["initContainers"][0]["image"]


def test_helm_test_forms_a_round(installed, turn):
    words = ("helm", "test", release.RELEASE, IN_NAMESPACE, "--logs", "--timeout=200s")
    said = installed.show(*words, timeout_s=230)
    assert "Succeeded" in said
    assert "Complete: all 2 workers of round 1 ended with success" in said
    left = installed.ask("kubectl", "get", "elasticjobs", IN_NAMESPACE, "--output=name")
    assert left == ""


def test_a_job_outlives_its_operators(operator, installation, run, manifest):
    job = run(manifest(ticking=True))
    before = job.wait("an epoch of two workers", lambda known: story.count_epochs(known, 2) >= 1)
    pods, own = set(job.pods()), before.job["status"]["clientImage"]
    tools = job.tools
    assert client_of(tools, min(pods)) == own

    operator.kill()
    job.scale(3)
    known = job.wait("a round of three workers", lambda known: story.is_round_of(known, 3))
    assert pods < set(job.pods()), "those that were there are there still"
    pods = set(job.pods())

    installation.upgrade()
    assert [one.round for one in job.known.rounds] == [1, 2], "the scale-out alone made another"
    assert set(job.pods()) == pods
    victim = known.rounds[-1].members[1]
    job.kill(victim)
    job.wait(
        "a replacement in the round",
        lambda known: story.is_round_of(known, 3) and victim not in known.rounds[-1].members,
    )
    (new,) = set(job.pods()) - pods
    assert client_of(tools, new) == own, "an upgrade does not reach a job that is there"
    later = run(manifest("later", ticking=True))
    later.wait("pods", lambda _: bool(later.pods()))
    assert client_of(tools, later.pods()[0]).endswith(f":{NEWER}")
    later.delete()

    installation.uninstall()
    crd = tools.ask("kubectl", "get", "crd/elasticjobs.rdzv.dev", "--output=name")
    assert crd.strip() == "customresourcedefinition.apiextensions.k8s.io/elasticjobs.rdzv.dev"
    steps = len(job.known.steps)
    job.wait("training without an operator", lambda known: len(known.steps) > steps + 3)

    installation.install()
    job.scale(2)
    job.wait("two workers", lambda known: known.job["status"]["replicas"] == 2)
    job.wait("a round of two workers", lambda known: story.is_round_of(known, 2))
    known = job.finish()
    assert known.job["status"]["restarts"]["counted"] == 0
    assert known.job["status"]["restarts"]["infrastructure"] == 1, "the one that was killed"
    assert known.job["metadata"]["uid"] == before.job["metadata"]["uid"]
    job.delete()
    job.wait_until_nothing_remains()
