"""What the chart gives to the Prometheus operator: an API server that knows its kinds takes it."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from localcluster import binaries
from tests import debian

CHART = Path(__file__).parents[2] / "charts" / "elasticjob"
GROUP = "monitoring.coreos.com"

TEXT = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
DURATION = {"type": "string", "pattern": r"^(0|(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$"}
EXPRESSION = {"anyOf": [{"type": "integer"}, TEXT], "x-kubernetes-int-or-string": True}


def a_list(*required, **properties):
    return {"type": "array", "items": an_object(*required, **properties)}


def an_object(*required, **properties):
    needs = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **needs}


# Of its two kinds the fields that the chart could use, and no others: any other one is refused.
RULE = a_list(
    "expr",
    **{"alert": TEXT, "expr": EXPRESSION, "for": DURATION, "labels": TEXTS, "annotations": TEXTS},
    record=TEXT,
    keep_firing_for=DURATION,
)
RULES = an_object(groups=a_list("name", name=TEXT, interval=DURATION, rules=RULE))
MONITOR = an_object(
    *("endpoints", "selector"),
    endpoints=a_list(port=TEXT, path=TEXT, scheme=TEXT, interval=DURATION, scrapeTimeout=DURATION),
    selector=an_object(matchLabels=TEXTS),
    namespaceSelector=an_object(matchNames={"type": "array", "items": TEXT}),
    jobLabel=TEXT,
)
KINDS = {"PrometheusRule": RULES, "ServiceMonitor": MONITOR}


def definition(kind, spec):
    plural, schema = f"{kind.lower()}s", an_object("spec", spec=spec)
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "plural": plural}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


@pytest.fixture
def kinds(kubectl):
    """Have the API server know them."""
    definitions = [definition(kind, spec) for kind, spec in KINDS.items()]
    for one in definitions:
        kubectl.create(one)
        kubectl("wait", "--for=condition=Established", f"crd/{one['metadata']['name']}")
    yield
    for one in definitions:
        kubectl("delete", "crd", one["metadata"]["name"])


def rendered(namespace):
    """What the chart makes of these kinds."""
    values = ("serviceMonitor.enabled=true", "prometheusRule.enabled=true")
    labels = (
        "serviceMonitor.labels.release=prometheus",
        "prometheusRule.labels.release=prometheus",
    )
    settings = [f"--set=metrics.{value}" for value in (*values, *labels)]
    helm = binaries.ensure(["helm"])["helm"]
    command = [helm, "template", "elasticjob", CHART, f"--namespace={namespace}", *settings]
    command += ["--kube-version=1.37.0"]
    done = subprocess.run(command, text=True, capture_output=True, check=True)
    documents = [one for one in yaml.safe_load_all(done.stdout) if one]
    return [one for one in documents if one["kind"] in KINDS]


def test_its_api_server_takes_them_and_stores_what_prometheus_can_read(kubectl, kinds, tmp_path):
    documents = rendered(kubectl.namespace)
    assert {one["kind"] for one in documents} == KINDS.keys()
    for one in documents:
        kubectl("create", "--validate=strict", "--filename=-", given=json.dumps(one))
    monitor = kubectl.get("servicemonitor", "elasticjob-operator")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    rule = kubectl.get("prometheusrule", "elasticjob-operator")
    assert rule["spec"] == yaml.safe_load((CHART / "monitoring" / "alerts.yaml").read_text())
    if not debian.has_packages():
        pytest.skip("no Debian packages here, so no promtool")
    (stored := tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    promtool = debian.fetch("prometheus", "promtool")
    subprocess.run([promtool, "check", "rules", stored], check=True)


def test_a_field_that_it_does_not_know_would_be_seen(kubectl, kinds):
    (monitor,) = (one for one in rendered(kubectl.namespace) if one["kind"] == "ServiceMonitor")
    monitor["spec"]["endpoints"][0]["intervall"] = "30s"
    tried = kubectl.tried("create", "--validate=strict", "--filename=-", given=json.dumps(monitor))
    assert 'unknown field "spec.endpoints[0].intervall"' in tried.stderr
