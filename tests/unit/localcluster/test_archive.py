"""An image is written as a docker-archive; the same content always gives the same bytes."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from localcluster import archive
from localcluster.archive import Entry, Image


def an_image(**changes: Any) -> Image:
    facts: dict[str, Any] = {
        "reference": "elasticjob/thing:1",
        "layers": [[Entry("opt/thing/run", b"hello", 0o755)], [Entry("tmp", None, 0o1777)]],
        "entrypoint": ["/opt/thing/run"],
        "command": ["--fast"],
        "environment": {"PATH": "/bin"},
        "folder": "/opt",
        "user": "1000",
    }
    return Image(**{**facts, **changes})


def written(image: Image, path: Path) -> dict[str, bytes]:
    """Return the content of each file of the image's archive, by its name."""
    archive.write(image, path, "x86_64")
    with tarfile.open(path) as tar:
        return {member.name: read(tar, member) for member in tar.getmembers()}


def read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return b"" if file is None else file.read()


def members(layer: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return {member.name: member for member in tar.getmembers()}


def test_the_manifest_names_the_image_its_config_and_its_layers_in_order(tmp_path: Path) -> None:
    files = written(an_image(), tmp_path / "image.tar")
    (manifest,) = json.loads(files["manifest.json"])
    assert manifest["RepoTags"] == ["elasticjob/thing:1"]
    config = json.loads(files[manifest["Config"]])
    digests = [hashlib.sha256(files[name]).hexdigest() for name in manifest["Layers"]]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}" for digest in digests]
    assert list(members(files[manifest["Layers"][0]])) == ["opt", "opt/thing", "opt/thing/run"]
    assert list(members(files[manifest["Layers"][1]])) == ["tmp"]


def test_the_config_says_what_to_run_where_and_as_whom(tmp_path: Path) -> None:
    files = written(an_image(), tmp_path / "image.tar")
    (manifest,) = json.loads(files["manifest.json"])
    config = json.loads(files[manifest["Config"]])
    assert (config["os"], config["architecture"]) == ("linux", "amd64")
    assert config["config"] == {
        "Entrypoint": ["/opt/thing/run"],
        "Cmd": ["--fast"],
        "Env": ["PATH=/bin"],
        "WorkingDir": "/opt",
        "User": "1000",
    }


def test_files_keep_their_mode_and_owner_and_folders_are_made_once(tmp_path: Path) -> None:
    entries = [
        Entry("home/me", None, 0o700, 1000),
        Entry("home/me/a", b"a", 0o600, 1000),
        Entry("home/you/b", b"b"),
    ]
    files = written(an_image(layers=[entries]), tmp_path / "image.tar")
    (manifest,) = json.loads(files["manifest.json"])
    found = members(files[manifest["Layers"][0]])
    assert list(found) == ["home", "home/me", "home/me/a", "home/you", "home/you/b"]
    assert (found["home/me"].mode, found["home/me"].uid) == (0o700, 1000)
    assert (found["home/me/a"].mode, found["home/me/a"].size) == (0o600, 1)
    assert (found["home/you"].mode, found["home/you"].uid) == (0o755, 0)


def test_the_same_image_gives_the_same_bytes_and_leaves_no_partial_file(tmp_path: Path) -> None:
    for name in ("one.tar", "two.tar"):
        archive.write(an_image(), tmp_path / name, "x86_64")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.tar", "two.tar"]


def test_the_key_changes_with_anything_that_is_in_the_image() -> None:
    variants = [
        an_image(),
        an_image(reference="elasticjob/thing:2"),
        an_image(command=["--slow"]),
        an_image(environment={}),
        an_image(user=""),
        an_image(layers=[[Entry("opt/thing/run", b"Hello", 0o755)]]),
        an_image(layers=[[Entry("opt/thing/run", b"hello", 0o644)]]),
        an_image(layers=[[Entry("opt/thing/go", b"hello", 0o755)]]),
        an_image(layers=[[Entry("opt/thing/run", b"hello", 0o755, 7)]]),
    ]
    keys = [archive.key(image) for image in variants]
    assert len(set(keys)) == len(keys)
    assert archive.key(an_image()) == keys[0]


def test_the_key_is_that_of_the_bytes_not_of_where_they_lie(tmp_path: Path) -> None:
    file = tmp_path / "run"
    file.write_bytes(b"hello")
    entries = [[Entry("run", file)], [Entry("run", b"hello")]]
    assert len({archive.key(an_image(layers=[each])) for each in entries}) == 1


def test_a_tree_lists_its_files_in_order_and_tells_programs_from_data(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "b.py").write_text("")
    program = tmp_path / "a.sh"
    program.write_text("")
    program.chmod(0o700)
    found = [(entry.path, entry.mode) for entry in archive.tree(tmp_path, "opt/lib")]
    assert found == [("opt/lib/a.sh", 0o755), ("opt/lib/pkg/b.py", 0o644)]
