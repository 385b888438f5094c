"""The operator is upgraded under a job that trains."""

import json

import pytest

from examples.demo import release, story

NEWER = "99.0.0"


@pytest.fixture
def upgrade(operator, request, tmp_path):
    """Have helm upgrade the release to a newer chart with another client; undone after the test."""
    tools = operator.tools
    chart = str(request.config.rootpath / release.CHART)

    def upgrade():
        package = ("helm", "package", chart, f"--version={NEWER}", f"--destination={tmp_path}")
        tools.show(*package)
        (packaged,) = tmp_path.glob("elasticjob-99*.tgz")
        tools.show(
            *("helm", "upgrade", release.RELEASE, str(packaged)),
            *(f"--namespace={release.NAMESPACE}", "--wait", "--timeout=120s"),
            f"--set=client.image.tag={NEWER}",
            timeout_s=150,
        )

    yield upgrade
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(request.config.rootpath)
        release.install(tools)


def client_of(tools, pod):
    body = json.loads(tools.ask("kubectl", "get", pod, "--output=json"))
    return body["spec"]["initContainers"][0]["image"]


def test_an_upgrade_disturbs_no_job_and_its_workers_keep_their_client(run, manifest, upgrade):
    job = run(manifest(epochs=400, width=64))
    known = job.wait("an epoch", lambda known: story.count_epochs(known, 2) >= 1)
    pods, own = job.pods(), known.job["status"]["clientImage"]
    assert client_of(job.tools, pods[0]) == own
    upgrade()
    seen = story.count_epochs(job.known, 2)
    known = job.wait("further epochs", lambda known: story.count_epochs(known, 2) >= seen + 2)
    assert [one.number for one in known.rounds] == [1], "no round was broken"
    assert job.pods() == pods
    job.kill(known.rounds[-1].members[1])
    known = job.wait(
        "a replacement in the round",
        lambda known: story.is_round_of(known, 2) and known.rounds[-1].number > 1,
    )
    (new,) = set(job.pods()) - set(pods)
    assert client_of(job.tools, new) == own
    assert known.job["status"]["restarts"]["counted"] == 0
    job.delete()
    job.wait_until_nothing_remains()
    later = run(manifest(epochs=1, width=8))
    later.wait("pods", lambda _: bool(later.pods()))
    assert client_of(later.tools, later.pods()[0]).endswith(f":{NEWER}")
    later.delete()
