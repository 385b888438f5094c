"""What the operator answers to the kubelet and to Prometheus."""

import urllib.error
import urllib.request

import pytest
from etcd_server import free_ports
from interference import Interference
from kubectl import until
from prometheus_client.parser import text_string_to_metric_families


class Answers:
    """An operator's two ports."""

    def __init__(self):
        probes, metrics = map(str, free_ports(2))
        self.settings = {"PROBE_PORT": probes, "METRICS_PORT": metrics}

    def probe(self, path):
        """Return the status and the words; nothing while it does not listen."""
        url = f"http://127.0.0.1:{self.settings['PROBE_PORT']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
        except OSError:
            return None

    def samples(self):
        """Return every sample: its name and labels, and its value."""
        url = f"http://127.0.0.1:{self.settings['METRICS_PORT']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def answers():
    return Answers()


def test_a_jobs_life_is_counted_and_no_series_names_it(operators, answers, job):
    operators(**answers.settings)
    digits = job().start()
    digits.until(lambda: answers.probe("/readyz") == (200, "ok\n"), "it to be ready")
    assert answers.probe("/livez") == (200, "ok\n")
    digits.remove("digits-1-0")
    digits.until_pods("digits-0-0", "digits-1-1")
    digits.until(lambda: digits.status["restarts"]["infrastructure"] == 1, "it to be counted")
    found = answers.samples()
    assert found["elasticjob_leader",] == 1
    assert sum(v for (name, *_), v in found.items() if name == "elasticjob_jobs") == 1
    assert found["elasticjob_workers", "there"] == 2
    assert sum(v for (name, *_), v in found.items() if name == "elasticjob_rounds_total") == 1
    assert found["elasticjob_restarts_total", "infrastructure"] == 1
    assert found["elasticjob_api_request_duration_seconds_count", "201", "POST", "pods"] == 3
    assert found["elasticjob_api_request_duration_seconds_count", "200", "WATCH", "pods"] >= 1
    assert found["elasticjob_store_write_duration_seconds_count", "ok"] >= 1
    assert found["elasticjob_reconcile_duration_seconds_count", "ok"] >= 3
    assert found["elasticjob_status_writes_total",] >= 2
    assert found["elasticjob_watch_silence_seconds", "pods"] < 60
    labels = {label for _, *values in found for label in values}
    assert not [label for label in labels if "digits" in label]


def test_an_operator_that_starts_while_the_api_server_is_away_lives_and_waits(
    operators, answers, plane, job
):
    """A probe that fails would have it started again, less and less often."""
    with Interference(plane) as interference:
        with interference.away():
            operator = operators(server=interference.url, **answers.settings)
            until(lambda: answers.probe("/livez") == (200, "ok\n"), "it to live")
            words = "the API server has not told yet what there is\n"
            assert answers.probe("/readyz") == (503, words)
            operator.until_logged("the API server does not answer")
            assert answers.probe("/livez") == (200, "ok\n")
        job().until(lambda: answers.probe("/readyz") == (200, "ok\n"), "it to be ready")


def test_a_silent_watch_fails_the_probe_in_words(operators, answers, job):
    """With a limit below the bookmarks' 60 s every quiet watch is taken for stuck."""
    operators(**answers.settings, SILENCE_LIMIT_S="3")
    digits = job().start()
    digits.until(lambda: (answers.probe("/livez") or (0,))[0] == 503, "the probe to fail")
    _, words = answers.probe("/livez")
    assert "nothing was heard of" in words
    assert "s, 3 s is too long" in words
    assert answers.probe("/readyz")[0] == 503
