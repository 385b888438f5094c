"""Debian's Prometheus scrapes the running operator, with the chart's alerts and dashboard."""

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml
from etcd_server import free_ports

from localcluster import services
from tests import debian

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "charts" / "elasticjob" / "monitoring"


pytestmark = pytest.mark.skipif(not debian.has_packages(), reason="no Debian packages here")


class Prometheus:
    """A Prometheus that asks one operator every second."""

    def __init__(self, folder, target):
        (self.port,) = free_ports(1)
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(MONITORING / "alerts.yaml")],
            "scrape_configs": [
                {"job_name": "elasticjob", "static_configs": [{"targets": [target]}]}
            ],
        }
        path = folder / "prometheus.yaml"
        path.write_text(yaml.safe_dump(config))
        self.command = [
            str(debian.fetch("prometheus", "prometheus")),
            f"--config.file={path}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def ask(self, path, **query):
        """Return the data of an answer; nothing while it does not listen."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError:
            raise
        except OSError:
            return None

    def value(self, expression):
        found = (self.ask("query", query=expression) or {"result": []})["result"]
        return float(found[0]["value"][1]) if found else None

    def alerts(self):
        """Return the alerts that fire or are about to."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"]}


@pytest.fixture
def scraped(operators, tmp_path):
    """An operator, and the Prometheus that asks it."""
    (port,) = free_ports(1)
    operator = operators(METRICS_PORT=str(port))
    prometheus = Prometheus(tmp_path, f"127.0.0.1:{port}")
    process = subprocess.Popen(
        [*services.bound_to_caller(), *prometheus.command], stderr=subprocess.DEVNULL
    )
    yield operator, prometheus
    process.kill()
    process.wait()


def panels():
    found = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in found for target in panel["targets"]]


def rules():
    groups = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def test_promtool_finds_no_fault_in_the_alerts():
    promtool = debian.fetch("prometheus", "promtool")
    command = [promtool, "check", "rules", "--lint=all", "--lint-fatal", MONITORING / "alerts.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_explained():
    told = (ROOT / "docs" / "operations.md").read_text()
    names = re.findall(r"alert: (\w+)", (MONITORING / "alerts.yaml").read_text())
    assert names
    assert [name for name in names if f"**{name}**" not in told] == []


def test_what_the_dashboard_and_the_alerts_ask_for_is_there(scraped, job):
    operator, prometheus = scraped
    digits = job().start()
    digits.remove("digits-1-0")
    digits.until_pods("digits-0-0", "digits-1-1")
    digits.until(lambda: prometheus.value("elasticjob_restarts_total") is not None, "a scrape")
    digits.until(lambda: prometheus.value("sum(elasticjob_rounds_total)") == 1, "the round")
    assert prometheus.value("elasticjob_leader") == 1
    known = set(prometheus.ask("label/__name__/values"))
    for expression in [*panels(), *rules()]:
        prometheus.ask("query", query=expression.replace("$__rate_interval", "1m"))
        named = set(re.findall(r"\b(?:elasticjob|process)_\w+", expression))
        missing = named - known - {"elasticjob_jobs_ended_total"}  # none has ended
        assert not missing, expression
    digits.until(lambda: not prometheus.alerts(), "no alert")
    operator.kill()
    digits.until(lambda: "ElasticJobOperatorDown" in prometheus.alerts(), "the alert")
