"""The chart renders what the operator needs and nothing more, and refuses what it does not know."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from elasticjob_operator import crd, labels
from elasticjob_operator import settings as operator_settings
from localcluster import binaries

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "elasticjob"
# Without it a helm built from its module believes that the cluster is older than the chart allows.
KUBERNETES = "--kube-version=1.37.0"


def helm(*arguments):
    program = binaries.ensure(["helm"])["helm"]
    return subprocess.run([program, *arguments], text=True, capture_output=True, check=False)


def render(*settings):
    values = [f"--set={setting}" for setting in settings]
    release = ("elasticjob", str(CHART), "--namespace=system")
    done = helm("template", *release, KUBERNETES, *values)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def refusal(*settings):
    values = [f"--set={setting}" for setting in settings]
    done = helm("template", "elasticjob", str(CHART), KUBERNETES, *values)
    assert done.returncode != 0, f"this was taken: {settings}"
    return done.stderr


def of_kind(kind, documents):
    return [document for document in documents if document["kind"] == kind]


def the(kind, documents):
    (found,) = of_kind(kind, documents)
    return found


def one(kind, name, documents):
    (found,) = [d for d in of_kind(kind, documents) if d["metadata"]["name"] == name]
    return found


def operator_container(documents):
    return the("Deployment", documents)["spec"]["template"]["spec"]["containers"][0]


def test_it_has_no_faults_that_helm_knows_of():
    done = helm("lint", "--strict", str(CHART), KUBERNETES)
    assert done.returncode == 0, done.stdout


def test_its_crd_is_the_generated_one_and_outlives_the_release():
    made = the("CustomResourceDefinition", render())
    assert made["spec"] == crd.manifest()["spec"]
    assert made["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_crd_can_be_left_to_others():
    assert of_kind("CustomResourceDefinition", render("crds.enabled=false")) == []


def test_the_version_is_the_projects():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in project
    assert chart["version"] == chart["appVersion"]


def test_the_operator_gets_only_settings_that_it_knows():
    entries = operator_container(render())["env"]
    environment = {entry["name"]: entry["value"] for entry in entries}
    read = operator_settings.read(environment)
    assert read.client_image == "elasticjob/client:0.1.0"
    assert read.etcd_image == "elasticjob/etcd:3.7.3"
    assert read == operator_settings.Settings(
        log_format="json",
        operator_namespace="system",
        lease="system/elasticjob-operator",
        key_ref="system/elasticjob-operator-key",
    )


def test_jobs_get_no_network_policies_where_they_are_not_wanted():
    entries = operator_container(render("networkPolicies=false"))["env"]
    assert "ELASTICJOB_OPERATOR_OPERATOR_NAMESPACE" not in {entry["name"] for entry in entries}


def test_the_operators_pods_are_those_that_the_jobs_network_policies_let_in():
    pod = the("Deployment", render())["spec"]["template"]["metadata"]
    assert pod["labels"][labels.NAME] == labels.OPERATOR


def test_a_prefix_goes_before_every_image():
    container = operator_container(render("image.prefix=registry.example.com/"))
    images = [container["image"], *(e["value"] for e in container["env"] if "_IMAGE" in e["name"])]
    images.remove("IfNotPresent")
    assert all(image.startswith("registry.example.com/elasticjob/") for image in images)


def test_the_operator_has_no_privileges_on_its_node():
    pod = the("Deployment", render())["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    context = pod["containers"][0]["securityContext"]
    assert context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_operator_moves_soon_from_a_node_that_is_lost():
    tolerated = the("Deployment", render())["spec"]["template"]["spec"]["tolerations"]
    assert {entry["key"]: entry["tolerationSeconds"] for entry in tolerated} == {
        "node.kubernetes.io/not-ready": 30,
        "node.kubernetes.io/unreachable": 30,
    }


def rules(kind, documents):
    return {
        resource: set(rule["verbs"])
        for role in of_kind(kind, documents)
        if role["metadata"]["name"].endswith("-operator")
        for rule in role["rules"]
        for resource in rule["resources"]
    }


def test_the_operators_rights_are_those_it_uses():
    assert rules("ClusterRole", render()) == {
        "elasticjobs": {"get", "list", "watch", "delete"},
        "elasticjobs/status": {"patch"},
        "pods": {"get", "list", "watch", "create", "delete"},
        "pods/log": {"get"},
        "nodes": {"get", "list", "watch"},
        "serviceaccounts": {"get", "create", "patch"},
        "services": {"get", "create", "patch", "delete"},
        "statefulsets": {"get", "create", "patch", "delete"},
        "persistentvolumeclaims": {"create"},
        "poddisruptionbudgets": {"get", "create", "patch", "delete"},
        "networkpolicies": {"get", "create", "patch"},
        "horizontalpodautoscalers": {"get", "create", "patch", "delete"},
        "podgroups": {"get", "create", "patch"},
        "secrets": {"create"},
        "events": {"create"},
    }


def test_the_operator_may_hold_its_own_lease_and_no_other():
    (create, hold) = one("Role", "elasticjob-leadership", render())["rules"]
    assert create["verbs"] == ["create"]
    assert (hold["verbs"], hold["resourceNames"]) == (["get", "update"], ["elasticjob-operator"])


def test_replicas_stand_apart_and_one_is_left_when_nodes_are_drained():
    documents = render()
    deployment = the("Deployment", documents)
    assert deployment["spec"]["replicas"] == 2
    assert "podAntiAffinity" in deployment["spec"]["template"]["spec"]["affinity"]
    budget = the("PodDisruptionBudget", documents)["spec"]
    assert budget["maxUnavailable"] == 1
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert of_kind("PodDisruptionBudget", render("operator.replicas=1")) == []


def test_the_operator_may_read_its_own_secret_and_no_other():
    role = one("Role", "elasticjob-operator-key", render())
    assert role["metadata"]["namespace"] == "system"
    name = role["metadata"]["name"]
    assert {rule["verbs"][0]: rule.get("resourceNames") for rule in role["rules"]} == {
        "create": None,  # a name cannot be asked for in a creation
        "get": [name],
    }
    variables = operator_container(render())["env"]
    assert {"name": "ELASTICJOB_OPERATOR_KEY_REF", "value": f"system/{name}"} in variables


def test_secrets_of_users_are_read_only_where_that_is_wished():
    assert rules("ClusterRole", render("rbac.readSecrets=true"))["secrets"] == {"create", "get"}
    inside = render("operator.watchNamespace=ml", "rbac.readSecrets=true")
    assert rules("Role", inside)["secrets"] == {"create", "get"}


def test_nobody_may_run_programs_in_pods():
    for documents in (render(), render("operator.watchNamespace=ml")):
        for role in [*of_kind("ClusterRole", documents), *of_kind("Role", documents)]:
            for rule in role["rules"]:
                assert not {"pods/exec", "pods/attach", "pods/portforward"} & {*rule["resources"]}
                assert not {"impersonate", "escalate", "bind"} & {*rule["verbs"]}


def test_the_test_may_make_its_own_job_and_nothing_else():
    (create, own) = one("Role", "elasticjob-test", render())["rules"]
    assert (create["resources"], create["verbs"]) == (["elasticjobs"], ["create"])
    assert (own["resources"], own["verbs"]) == (["elasticjobs"], ["get", "delete"])
    assert own["resourceNames"] == ["elasticjob-test"]


def test_the_test_is_made_where_the_operator_serves():
    documents = render("operator.watchNamespace=ml", "image.pullSecrets[0].name=registry")
    assert one("Role", "elasticjob-test", documents)["metadata"]["namespace"] == "ml"
    arguments = the("Pod", documents)["spec"]["containers"][0]["args"]
    assert {"--namespace=ml", "--pull-secret=registry"} <= set(arguments)


def test_the_tests_pod_is_none_of_the_operators():
    documents = render()
    selector = the("Service", documents)["spec"]["selector"]
    assert not selector.items() <= the("Pod", documents)["metadata"]["labels"].items()


def test_nobody_gets_a_wildcard():
    for role in [*of_kind("ClusterRole", render()), *of_kind("Role", render())]:
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_an_operator_of_one_namespace_has_rights_in_that_namespace_alone():
    documents = render("operator.watchNamespace=ml")
    assert one("Role", "elasticjob-operator", documents)["metadata"]["namespace"] == "ml"
    assert rules("ClusterRole", documents) == {}
    everywhere = rules("ClusterRole", render())
    del everywhere["nodes"]  # they are in no namespace
    assert rules("Role", documents) == everywhere
    assert {"name": "ELASTICJOB_OPERATOR_NAMESPACE", "value": "ml"} in operator_container(
        documents
    )["env"]


def test_people_who_may_edit_a_namespace_may_edit_its_jobs():
    roles = {role["metadata"]["name"]: role for role in of_kind("ClusterRole", render())}
    labels = roles["elasticjob-edit"]["metadata"]["labels"]
    assert labels["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert "delete" in roles["elasticjob-edit"]["rules"][0]["verbs"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("operator.replica=2", "additional properties 'replica' not allowed"),
        ("operater.workers=2", "additional properties 'operater' not allowed"),
        ("operator.workers=0", "minimum: got 0, want 1"),
        ("operator.logFormat=xml", "value must be one of 'text', 'json'"),
        ("image.pullPolicy=Sometimes", "value must be one of"),
        ("crds.enabled=maybe", "got string, want boolean"),
        ("operator.watchNamespace=My_Team", "does not match pattern"),
    ],
)
def test_a_value_that_is_wrong_or_not_known_is_refused_by_name(setting, words):
    assert words in refusal(setting)


def test_prometheus_finds_every_replica():
    documents = render("metrics.serviceMonitor.enabled=true")
    service, monitor = the("Service", documents), the("ServiceMonitor", documents)
    assert service["spec"]["clusterIP"] == "None"
    pod = the("Deployment", documents)["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    assert service["spec"]["ports"][0]["targetPort"] in ports
    selector = monitor["spec"]["selector"]["matchLabels"]
    assert selector.items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


def test_what_needs_other_operators_is_left_out_unless_asked_for():
    kinds = {document["kind"] for document in render()}
    assert kinds.isdisjoint({"ServiceMonitor", "PrometheusRule", "ConfigMap"})
    assert of_kind("Service", render("metrics.enabled=false")) == []


def test_alerts_and_dashboard_are_those_of_the_files():
    settings = ("metrics.prometheusRule.enabled=true", "metrics.dashboard.enabled=true")
    documents = render(*settings, "metrics.dashboard.namespace=grafana")
    rules = yaml.safe_load((CHART / "monitoring" / "alerts.yaml").read_text())
    assert the("PrometheusRule", documents)["spec"] == rules
    dashboard = the("ConfigMap", documents)
    assert dashboard["metadata"]["namespace"] == "grafana"
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    told = json.loads(dashboard["data"]["elasticjob.json"])
    assert told == json.loads((CHART / "monitoring" / "dashboard.json").read_text())
