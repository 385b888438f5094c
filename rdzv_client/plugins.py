"""The creators of handlers, and the entry points through which torchrun finds them.

torch loads its plug-ins while it is itself only partly imported, and reports a failure as a mere
warning. So nothing is imported here before a handler is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from rdzv_client import k8s, torchrun

Creator = Callable[[Any], Any]


def create_c10d_handler(params: Any) -> Any:
    """Make a handler whose members meet in a ``TCPStore`` or a ``FileStore``.

    Args:
        params: ``RendezvousParameters``, torch's or ours.
    """
    from rdzv_client import c10d_rendezvous_backend, dynamic_rendezvous  # noqa: PLC0415

    _show_log_of_torchrun()
    backend, store = c10d_rendezvous_backend.create_backend(params)
    return dynamic_rendezvous.create_handler(store, backend, params)


def create_etcd_handler(params: Any) -> Any:
    """Make a handler whose members meet in an etcd.

    Args:
        params: ``RendezvousParameters``, torch's or ours.
    """
    from rdzv_client import dynamic_rendezvous, etcd_rendezvous_backend  # noqa: PLC0415

    _show_log_of_torchrun()
    backend, store = etcd_rendezvous_backend.create_backend(params)
    return dynamic_rendezvous.create_handler(store, backend, params)


def _show_log_of_torchrun() -> None:
    """A program that uses the library sets up its own logging."""
    if torchrun.is_running():
        k8s.show_log()


# The names that torch itself does not know.
CREATORS: Final[Mapping[str, Creator]] = {
    "k8s": k8s.create_handler,
    "etcd-v3": create_etcd_handler,
    "c10d-v2": create_c10d_handler,
}


def c10d_v2() -> Creator:
    """Return the creator of ``c10d-v2``."""
    return create_c10d_handler


def etcd_v3() -> Creator:
    """Return the creator of ``etcd-v3``."""
    return create_etcd_handler
