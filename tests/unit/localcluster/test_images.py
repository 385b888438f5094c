"""The local images hold what the Dockerfiles put into the real ones, and nothing else of ours."""

import json
import re
from pathlib import Path

import pytest

from localcluster import distribution, images, paths


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder like that of the project's unpacked wheel."""
    files = {
        "rdzv_client/__init__.py": "",
        "elasticjob_operator/__init__.py": "",
        "elasticjob-0.1.0.dist-info/entry_points.txt": "[torchrun.handlers]\nk8s = x:y\n",
        "elasticjob-0.1.0.dist-info/RECORD": (
            "elasticjob_operator/__init__.py,sha256=0,0\nrdzv_client/__init__.py,sha256=0,0\n"
        ),
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return tmp_path


def test_the_client_image_brings_the_package_with_its_entry_point_and_no_operator(
    project: Path,
) -> None:
    content = {entry.path: entry for entry in images.client(project).layers[-1]}
    below = "opt/elasticjob/client"
    assert sorted(content) == [
        f"{below}/elasticjob-0.1.0.dist-info/RECORD",
        f"{below}/elasticjob-0.1.0.dist-info/entry_points.txt",
        f"{below}/rdzv_client/__init__.py",
    ]
    with content[f"{below}/elasticjob-0.1.0.dist-info/RECORD"].open() as record:
        assert record.read() == b"rdzv_client/__init__.py,sha256=0,0\n"


def test_a_change_of_the_operators_code_leaves_the_layer_of_its_dependencies_alone(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dependencies = tmp_path_factory.mktemp("dependencies")
    (dependencies / "kopf.py").write_text("")
    before = images.operator(dependencies, project)
    (project / "elasticjob_operator" / "more.py").write_text("")
    after = images.operator(dependencies, project)
    assert before.layers[:-1] == after.layers[:-1]
    assert before.layers[-1] != after.layers[-1]


def test_the_example_image_follows_its_dockerfile() -> None:
    dockerfile = (paths.REPOSITORY / "examples" / "digits" / "Dockerfile").read_text()
    image = images.digits()
    copied = re.findall(r"^COPY (\S+) \.$", dockerfile, re.MULTILINE)
    assert sorted(entry.path for entry in image.layers[-1]) == sorted(
        f"workspace/{name}" for name in copied
    )
    assert f"WORKDIR {image.folder}" in dockerfile
    assert f"USER {image.user}" in dockerfile
    assert f"CMD {json.dumps(image.command)}" in dockerfile
    assert not image.entrypoint


def test_the_operator_image_follows_its_dockerfile(project: Path, tmp_path: Path) -> None:
    dockerfile = (paths.REPOSITORY / "operator" / "Dockerfile").read_text()
    image = images.operator(tmp_path, project)
    assert f"ENTRYPOINT {json.dumps(image.entrypoint)}" in dockerfile
    for name in ("PYTHONPATH", "PYTHONUNBUFFERED"):
        assert f"{name}={image.environment[name]}" in dockerfile
    assert f"USER {image.user}" in dockerfile


def test_images_carry_the_projects_version_and_no_registry(project: Path) -> None:
    ours = [images.client(project), images.digits(), images.operator(project, project)]
    assert {image.reference.split(":")[1] for image in ours} == {distribution.version()}
    assert all(image.reference.startswith("elasticjob/") for image in ours)
