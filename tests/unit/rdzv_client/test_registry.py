"""Backends are known by their names, those that other packages bring as well."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import tomllib

import rdzv_client
from rdzv_client import api, plugins, registry

ROOT = Path(__file__).resolve().parents[3]
NAMES = {"c10d", "c10d-v2", "etcd", "etcd-v2", "etcd-v3", "k8s", "static"}
GROUP = "torchrun.handlers"


def the_entry_points():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["entry-points"][GROUP]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a package on the path that brings backends: source, and names with their functions."""

    def put(source, **functions):
        (tmp_path / "brought.py").write_text(source)
        metadata = tmp_path / "brought-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1\n")
        lines = [f"{name} = brought:{function}" for name, function in functions.items()]
        (metadata / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]))
        monkeypatch.syspath_prepend(tmp_path)

    yield put
    sys.modules.pop("brought", None)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """What is registered, to be forgotten after the test."""
    known = dict(registry.handler_registry._registry)
    monkeypatch.setattr(registry.handler_registry, "_registry", known)
    return known


def test_all_names_of_torch_and_our_own_are_known(known):
    assert set(known) >= NAMES


@pytest.mark.parametrize("home", [rdzv_client, api])
def test_there_is_one_registry_wherever_it_is_asked_for(home):
    assert home.rendezvous_handler_registry is registry.handler_registry


def test_to_register_again_changes_nothing(known):
    before = dict(known)
    rdzv_client._register_default_handlers()
    rdzv_client._register_out_of_tree_handlers()
    assert known == before


def test_a_handler_is_made_by_name():
    params = api.RendezvousParameters("static", "localhost:1", "run", 1, 1, rank=0)
    handler = registry.get_rendezvous_handler(params)
    assert (handler.get_backend(), handler.get_run_id()) == ("static", "run")


def test_what_another_package_brings_is_known_once_it_is_looked_for(install, known):
    install("def plugin(): return create\ndef create(params): ...", here="plugin")
    assert "here" not in known
    rdzv_client._register_out_of_tree_handlers()
    assert known["here"].__name__ == "create"


def test_what_another_package_brings_does_not_replace_what_there_is(install, known, caplog):
    install("def plugin(): return create\ndef create(params): ...", c10d="plugin", here="plugin")
    rdzv_client._register_out_of_tree_handlers()
    assert known["c10d"] is plugins.create_c10d_handler
    assert "Exception while registering out of tree plugin c10d: " in caplog.text
    assert "here" in known


@pytest.mark.parametrize(
    "source",
    ["def plugin(): raise OSError", "raise OSError", "import nothing_of_that_name", "no plugin"],
)
def test_what_fails_to_load_is_reported_and_left_out(install, known, caplog, source):
    install(source, here="plugin", there="builtins_only")
    rdzv_client._register_out_of_tree_handlers()
    assert not {"here", "there"} & set(known)
    assert "out of tree plugin here" in caplog.text
    assert "out of tree plugin there" in caplog.text


# --- what this package brings to torchrun ---


def test_torchrun_is_brought_the_names_that_it_does_not_know():
    assert set(the_entry_points()) == set(plugins.CREATORS) == {"k8s", "etcd-v3", "c10d-v2"}


@pytest.mark.parametrize("name", sorted(plugins.CREATORS))
def test_an_entry_point_gives_the_creator_that_our_registry_has(name, known):
    entry_point = EntryPoint(name, the_entry_points()[name], GROUP)
    assert entry_point.load()() is known[name] is plugins.CREATORS[name]


def test_torch_knows_our_names_when_it_has_loaded_its_plugins(tmp_path):
    metadata = tmp_path / "brought-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: elasticjob\nVersion: 1\n")
    lines = [f"{name} = {value}" for name, value in the_entry_points().items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]))
    command = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
        "from torch.distributed.elastic import rendezvous;"
        "print(*rendezvous.rendezvous_handler_registry._registry);"
        "print(*[name for name in sys.modules if name.startswith('rdzv_client.')], end='')"
    )
    done = subprocess.run(
        [sys.executable, "-c", command], check=True, capture_output=True, text=True, cwd=ROOT
    )
    known, loaded = done.stdout.split("\n")
    assert set(known.split()) >= {"k8s", "etcd-v3", "c10d-v2"}
    assert "rdzv_client.api" not in loaded.split()
    assert done.stderr == ""
