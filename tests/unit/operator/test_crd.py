"""The CRD is generated from the models, and the file in the repository is the generated one."""

from pathlib import Path

import yaml

from elasticjob_operator import api, crd

ROOT = Path(__file__).parents[3]


def version():
    return crd.manifest()["spec"]["versions"][0]


def leaves(node, path=""):
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from leaves(child, f"{path}.{name}")
    if "items" in node:
        yield from leaves(node["items"], f"{path}[]")


def test_the_file_in_the_repository_is_the_generated_one():
    written = (ROOT / "crds" / "elasticjobs.yaml").read_text()
    assert written == crd.to_yaml(), (
        "run: python -m elasticjob_operator crd -o crds/elasticjobs.yaml"
    )


def test_every_field_is_explained():
    schema = version()["schema"]["openAPIV3Schema"]
    mute = [path for path, leaf in leaves(schema) if not leaf.get("description")]
    assert mute == [".metadata"]


def test_the_schema_is_structural():
    text = yaml.safe_dump(crd.manifest())
    for forbidden in ("$ref", "anyOf", "allOf", "title:", "additionalProperties: true", "nullable"):
        assert forbidden not in text


def test_every_field_of_the_models_is_in_the_schema():
    properties = version()["schema"]["openAPIV3Schema"]["properties"]
    for name, model in (("spec", api.ElasticJobSpec), ("status", api.ElasticJobStatus)):
        aliases = {field.alias for field in model.model_fields.values()}
        assert set(properties[name]["properties"]) == aliases


def test_status_is_never_filled_in_by_the_api_server():
    assert "default" not in yaml.safe_dump(
        version()["schema"]["openAPIV3Schema"]["properties"]["status"]
    )


def test_defaults_are_those_of_the_models():
    spec = version()["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert spec["maxRestarts"]["default"] == 3
    assert spec["nprocPerNode"]["default"] == "auto"
    assert spec["rendezvous"]["default"]["leaseSeconds"] == 5


def test_a_default_is_told_where_kubectl_explains_the_field():
    spec = crd.schema()["properties"]["spec"]["properties"]
    told = spec["rendezvous"]["properties"]["leaseSeconds"]["description"]
    assert told.endswith("well before that. Default: 5.")
    suspend = spec["runPolicy"]["properties"]["suspend"]["description"]
    assert suspend.endswith("Default: false.")
    assert "Default:" not in spec["rendezvous"]["description"] + spec["replicas"]["description"]


def test_kubectl_can_scale_it_and_shows_the_round():
    assert version()["subresources"]["scale"] == {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    shown = [column["name"] for column in version()["additionalPrinterColumns"]]
    assert shown[:5] == ["Phase", "Round", "World", "Ready", "Age"]
    assert shown[5:] == ["Min", "Max", "Step", "Spares", "Restarts", "Reason"]
