"""The backends that are known by name: our own, and those that other packages bring.

A package brings one through an entry point in the group ``torchrun.handlers``, the same that
torchrun reads: a function without arguments that returns the creator of handlers.
"""

from __future__ import annotations

import logging
from importlib.metadata import entry_points
from typing import Any

from rdzv_client import plugins
from rdzv_client.api import RendezvousHandler, RendezvousHandlerRegistry, RendezvousParameters

__all__ = ["get_rendezvous_handler"]

log = logging.getLogger(__name__)

handler_registry = RendezvousHandlerRegistry()


def get_rendezvous_handler(params: RendezvousParameters) -> RendezvousHandler:
    """Make the handler of ``params.backend``.

    The names are ``c10d`` (or ``c10d-v2``), ``etcd-v3`` (or ``etcd-v2``), ``etcd``, ``static``,
    ``k8s``, and all that were registered with ``rendezvous_handler_registry``.

    Raises:
        ValueError: there is no such backend, or it refuses the parameters.
        RendezvousError: the backend's store cannot be used.
    """
    return handler_registry.create_handler(params)


def _create_legacy_etcd_handler(params: RendezvousParameters) -> Any:
    from rdzv_client import etcd_rendezvous  # noqa: PLC0415

    return etcd_rendezvous.create_rdzv_handler(params)


def _create_static_handler(params: RendezvousParameters) -> Any:
    from rdzv_client import static_tcp_rendezvous  # noqa: PLC0415

    return static_tcp_rendezvous.create_rdzv_handler(params)


def _register_default_handlers() -> None:
    handler_registry.register("c10d", plugins.create_c10d_handler)
    handler_registry.register("etcd-v2", plugins.create_etcd_handler)
    handler_registry.register("etcd", _create_legacy_etcd_handler)
    handler_registry.register("static", _create_static_handler)
    for name, creator in plugins.CREATORS.items():
        handler_registry.register(name, creator)


def _register_out_of_tree_handlers() -> None:
    """Register what other packages bring; one that fails is reported and left out."""
    for entry_point in entry_points(group="torchrun.handlers"):
        try:
            get_creator = entry_point.load()
            handler_registry.register(entry_point.name, get_creator())
        except Exception:
            log.warning(
                "Exception while registering out of tree plugin %s: ",
                entry_point.name,
                exc_info=True,
            )


_register_default_handlers()
_register_out_of_tree_handlers()
