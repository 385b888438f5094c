"""Whoever replaces torch's rendezvous package by ours finds every name, used in the same way."""

import inspect
from importlib import import_module

import pytest

import rdzv_client

TORCH = "torch.distributed.elastic.rendezvous"

# Each module, and the names that torch does not list in its ``__all__`` but others use.
MODULES = {
    "etcd_rendezvous": [],
    "etcd_rendezvous_backend": ["EtcdRendezvousBackend", "create_backend"],
    "etcd_store": ["EtcdStore"],
    "api": [],
    "dynamic_rendezvous": ["Token", "_NodeDesc", "_NodeDescGenerator"],
    "registry": ["_register_default_handlers", "_register_out_of_tree_handlers"],
    "c10d_rendezvous_backend": ["C10dRendezvousBackend", "DEFAULT_PORT", "create_backend"],
    "etcd_server": ["EtcdServer", "find_free_port", "stop_etcd"],
    "static_tcp_rendezvous": [],
    "utils": [
        "_PeriodicTimer",
        "_delay",
        "_matches_machine_hostname",
        "_parse_rendezvous_config",
        "_try_parse_port",
    ],
}

# Of these the methods are the steps of torch's own state machine, which is not ours.
NOT_TORCHS_INSIDE = {"EtcdRendezvous"}


# Not for callers: torch's is given the state machine that it has inside.
INSIDE = {("DynamicRendezvousHandler", "__init__")}


def names():
    """Return every name with the module it is in."""
    listed = {
        module: getattr(import_module(f"{TORCH}.{module}"), "__all__", []) for module in MODULES
    }
    return [(module, name) for module in MODULES for name in [*listed[module], *MODULES[module]]]


def parts(thing):
    """Return what torch's name offers: itself, or of a class its constructor and public members."""
    if not inspect.isclass(thing):
        return [""]
    if thing.__name__ in NOT_TORCHS_INSIDE:
        return ["__init__"]
    defined = [vars(base) for base in thing.__mro__ if base.__module__.startswith(TORCH)]
    members = {name for members in defined for name in members if not name.startswith("_")}
    return sorted(members | ({"__init__"} & set().union(*defined)))


def look_up(thing, part):
    """Return a part; of a property its getter."""
    found = inspect.getattr_static(thing, part, None) if part else None
    if isinstance(found, property):
        return found.fget
    return getattr(thing, part) if part else thing


def parameters(call):
    """Return names, kinds and defaults, in their order."""
    return [
        (found.name, found.kind.name, found.default)
        for found in inspect.signature(call).parameters.values()
    ]


def must_be_given(_name, kind, default):
    return default is inspect.Parameter.empty and kind != "VAR_KEYWORD"


def test_the_package_has_torchs_names_and_gives_the_same_as_its_modules():
    torch_names = import_module(TORCH).__all__
    assert sorted(rdzv_client.__all__) == sorted(torch_names)
    assert set(dir(rdzv_client)) > set(torch_names)
    for name in torch_names:
        assert getattr(rdzv_client, name) is getattr(rdzv_client.api, name)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_an_attribute_of_the_package(module):
    assert getattr(rdzv_client, module) is import_module(f"rdzv_client.{module}")


def test_a_name_that_torch_does_not_have_is_none_of_ours():
    with pytest.raises(AttributeError, match="'rdzv_client' has no attribute 'nothing'"):
        _ = rdzv_client.nothing


@pytest.mark.parametrize("module", MODULES)
def test_a_module_lists_what_torchs_lists(module):
    listed = getattr(import_module(f"{TORCH}.{module}"), "__all__", [])
    ours = getattr(import_module(f"rdzv_client.{module}"), "__all__", [])
    assert set(ours) >= set(listed)


@pytest.mark.parametrize(("module", "name"), names())
def test_a_name_is_there_and_called_in_the_same_way(module, name):
    theirs = getattr(import_module(f"{TORCH}.{module}"), name)
    ours = getattr(import_module(f"rdzv_client.{module}"), name)
    assert inspect.isclass(ours) == inspect.isclass(theirs)
    for part in parts(theirs):
        if (name, part) in INSIDE:
            continue
        wanted, found = look_up(theirs, part), look_up(ours, part)
        if not inspect.isroutine(wanted):
            assert type(found).__name__ == type(wanted).__name__
            continue
        same = len(parameters(wanted))
        for ours_, torchs in zip(parameters(found)[:same], parameters(wanted), strict=True):
            assert ours_[:2] == torchs[:2], f"{name} {part}"
            assert torchs[2] in (ours_[2], inspect.Parameter.empty), f"{name} {part}"
        more = parameters(found)[same:]
        assert all(not must_be_given(*parameter) for parameter in more), more
