"""Whoever replaces torch's rendezvous package by ours finds every name, used in the same way."""

import inspect
from importlib import import_module

import pytest

import rdzv_client

TORCH = "torch.distributed.elastic.rendezvous"

# Each module, and the names that are not public in torch's, but that others use.
MODULES = {
    "etcd_rendezvous": [],
    "etcd_rendezvous_backend": [],
    "etcd_store": [],
    "api": [],
    "dynamic_rendezvous": ["Token", "_NodeDesc", "_NodeDescGenerator"],
    "registry": ["_register_default_handlers", "_register_out_of_tree_handlers"],
    "c10d_rendezvous_backend": ["DEFAULT_PORT"],
    "etcd_server": [],
    "static_tcp_rendezvous": [],
    "utils": [
        "_PeriodicTimer",
        "_delay",
        "_matches_machine_hostname",
        "_parse_rendezvous_config",
        "_try_parse_port",
    ],
}

# What belongs to torch's own state machine, which is not ours: docs/rendezvous.md names it.
INSIDE = {
    "DynamicRendezvousHandler": {"__init__"},
    "EtcdRendezvous": {
        "announce_self_waiting",
        "confirm_membership",
        "confirm_phase",
        "create_path_if_not_exists",
        "get_rdzv_state",
        "handle_existing_rendezvous",
        "handle_join_last_call",
        "init_phase",
        "join_phase",
        "join_rendezvous",
        "setup_lease_renewal",
        "try_create_rendezvous",
        "try_wait_for_state_change",
        "wait_for_final",
        "wait_for_peers",
        "wait_for_rendezvous_to_free",
    },
}


def public(module):
    """Return what a module of torch's lists, or else what it defines without an underscore."""
    found = vars(import_module(f"{TORCH}.{module}"))
    own = [name for name, it in found.items() if getattr(it, "__module__", "") == found["__name__"]]
    return found.get("__all__", [name for name in own if not name.startswith("_")])


def names():
    """Return every name with the module it is in."""
    return [(module, name) for module in MODULES for name in [*public(module), *MODULES[module]]]


def parts(thing):
    """Return what torch's name offers: itself, or of a class its constructor and public members."""
    if not inspect.isclass(thing):
        return [""]
    defined = [vars(base) for base in thing.__mro__ if base.__module__.startswith(TORCH)]
    members = {name for members in defined for name in members if not name.startswith("_")}
    offered = members | ({"__init__"} & set().union(*defined))
    return sorted(offered - INSIDE.get(thing.__name__, set()))


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
