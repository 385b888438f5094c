"""What a user is told: columns, explanations, and bad input named in words."""

import threading

import pytest
import yaml

from examples.demo.commands import CommandError

WORDS_LIMIT_S = 90


def hear_event(job, words):
    """Wait until an event of the job says these words."""
    heard = threading.Event()
    selector = f"--field-selector=involvedObject.kind=ElasticJob,involvedObject.name={job.name}"
    events = job.tools.follow("kubectl", "get", "events", selector, "--watch", "--output=json")
    events.documents(lambda event: words in event["message"] and heard.set())
    try:
        assert heard.wait(WORDS_LIMIT_S), f"no event says {words}"
    finally:
        events.stop()


def conditions_say(known, *words):
    conditions = known.job.get("status", {}).get("conditions", [])
    return any(all(word in one["message"] for word in words) for one in conditions)


def test_an_image_that_cannot_be_pulled_is_named_and_the_name_can_be_used_again(
    run, manifest, tools
):
    job = run(manifest(epochs=1, width=8, image="elasticjob/no-such-image:0.1.0"))
    job.wait(
        "a condition that names the image",
        lambda known: conditions_say(known, "no-such-image"),
        WORDS_LIMIT_S,
    )
    hear_event(job, "no-such-image")
    assert not job.known.holds("Failed"), "the image may still be pushed"
    job.delete()
    job.wait_until_nothing_remains()
    corrected = run(manifest(epochs=1, width=8))
    corrected.wait("Complete", lambda known: known.holds("Complete"))


def test_a_command_that_does_not_exist_fails_the_job_in_words(run, manifest):
    job = run(manifest(command=["no-such-command"]))
    known = job.wait("Failed", lambda known: known.holds("Failed"), WORDS_LIMIT_S)
    assert "no-such-command" in known.condition("Failed")["message"]
    hear_event(job, "no-such-command")


def test_an_error_in_the_script_is_quoted_and_the_log_is_there_to_read(run, manifest, tools):
    script = "print('one epoch')\nraise ValueError('the learning rate is -1')"
    job = run(manifest(script=script, maxRestarts=1))
    known = job.wait("Failed", lambda known: known.holds("Failed"), WORDS_LIMIT_S)
    words = "its workers failed: ValueError: the learning rate is -1"
    assert words in known.condition("Failed")["message"]
    failure = known.job["status"]["lastFailure"]
    assert words in failure["message"]
    tools.show(
        *("kubectl", "wait", "--for=jsonpath={.status.phase}=Failed", f"pod/{failure['pod']}"),
        "--timeout=60s",
    )
    assert "ValueError: the learning rate" in tools.ask("kubectl", "logs", failure["pod"])


def test_a_wrong_option_is_quoted(run, manifest):
    job = run(manifest(command=["torchrun", "--no-such", "train.py"], maxRestarts=0))
    known = job.wait("Failed", lambda known: known.holds("Failed"), WORDS_LIMIT_S)
    words = "failed with exit code 2: torchrun: error: unrecognized arguments: --no-such"
    assert words in known.condition("Failed")["message"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"minReplicas": 5}, "spec.minReplicas"),
        ({"replicas": 9}, "spec.replicas"),
        ({"replicas": 1}, "spec.replicas"),
        ({"template": {"spec": {"containers": []}}}, "spec.template.spec.containers"),
        ({"minReplica": 2}, "spec.minReplica"),
    ],
    ids=str,
)
def test_bad_input_is_refused_with_the_path_of_the_field(manifest, tools, change, path):
    job = yaml.safe_dump(manifest(**change))
    with pytest.raises(CommandError, match=path.replace(".", r"\.")):
        tools.ask("kubectl", "apply", "--filename=-", "--validate=strict", stdin=job)


def test_kubectl_explains_every_field(tools):
    assert "minReplicas" in tools.ask("kubectl", "explain", "ej.spec.minReplicas")
    assert "DESCRIPTION" in tools.ask("kubectl", "explain", "elasticjob.status.rendezvous.history")


def test_kubectl_get_tells_phase_workers_and_round(run, manifest, tools):
    job = run(manifest(epochs=1, width=8))
    job.wait("Complete", lambda known: known.holds("Complete"))
    header, row = tools.show("kubectl", "get", "ej").splitlines()
    assert {"NAME", "PHASE", "ROUND", "AGE"} <= set(header.split())
    assert row.split()[:2] == ["digits", "Complete"]


def test_the_training_image_brings_nothing_of_this_project(tools):
    program = "import importlib.util as u; print([u.find_spec(n) for n in ('rdzv_client', 'kopf')])"
    tools.show(
        *("kubectl", "run", "probe", "--image=elasticjob/digits:0.1.0", "--restart=Never"),
        *("--command", "--", "python", "-c", program),
    )
    tools.show(
        *("kubectl", "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/probe"),
        "--timeout=60s",
    )
    assert tools.show("kubectl", "logs", "probe").strip() == "[None, None]"
