"""The creators of handlers, and the entry points through which torchrun finds them.

torch loads its plug-ins while it is itself only partly imported, and reports a failure as a mere
warning. So nothing is imported here before a handler is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from rdzv_client import k8s, torchrun

Creator = Callable[[Any], Any]

log = logging.getLogger(__name__)

_NO_ID: Final = "none"  # torchrun's


def create_c10d_handler(params: Any) -> Any:
    """Make a handler whose members meet in a ``TCPStore`` or a ``FileStore``.

    Args:
        params: ``RendezvousParameters``, torch's or ours.

    Raises:
        ValueError: an option that does not exist, or a value that is not allowed, by name.
        RendezvousConnectionError: the store cannot be reached.
    """
    from rdzv_client import c10d_rendezvous_backend as c10d  # noqa: PLC0415

    return _create(params, c10d.create_backend, c10d.OPTIONS)


def create_etcd_handler(params: Any) -> Any:
    """Make a handler whose members meet in an etcd.

    Args:
        params: ``RendezvousParameters``, torch's or ours.

    Raises:
        ValueError: an option that does not exist, or a value that is not allowed, by name.
        RendezvousConnectionError: etcd cannot be reached.
    """
    from rdzv_client import etcd_connection, etcd_rendezvous_backend  # noqa: PLC0415

    return _create(params, etcd_rendezvous_backend.create_backend, etcd_connection.OPTIONS)


def _create(params: Any, create_backend: Callable[[Any], Any], known: frozenset[str]) -> Any:
    from rdzv_client import api, dynamic_rendezvous, options  # noqa: PLC0415

    _show_log_of_torchrun()
    if params.run_id == _NO_ID:
        log.warning("There is no --rdzv-id: all jobs without one meet in the run %r.", _NO_ID)
    config = options.unquoted(params.config)
    options.refuse_unknown(config, options.NAMES | known)
    bounds = (params.min_nodes, params.max_nodes)
    ours = api.RendezvousParameters(
        params.backend, params.endpoint, params.run_id, *bounds, params.local_addr, **config
    )
    try:
        backend, _ = create_backend(ours)
    except ValueError as error:
        if isinstance(error.__cause__, options.OptionError):
            raise error.__cause__ from None  # torch's sentence leaves out what was given
        raise
    except api.RendezvousConnectionError as error:
        where = f"the rendezvous endpoint {params.endpoint!r} of backend {params.backend!r}"
        words = str(error.__cause__ or error).strip().partition("\n")[0]
        raise api.RendezvousConnectionError(f"{where} cannot be reached: {words}") from error
    return dynamic_rendezvous.create_handler(None, backend, ours)


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
