"""What a rendezvous is to who uses it: parameters, handlers by name, results and errors.

Names, arguments and messages are those of ``torch.distributed.elastic.rendezvous.api``, so that one
import path may replace the other. Nothing here needs torch. Where there is torch, each error is
torch's error of the same name as well, so that an ``except`` written for torch's catches ours, and
a handler passes for one of torch's.
"""

from __future__ import annotations

import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rdzv_client.options import OptionError

if TYPE_CHECKING:
    from torch.distributed import Store

try:
    from torch.distributed.elastic.rendezvous import api as _torch
except ImportError:
    _torch = None

__all__ = [
    "RendezvousClosedError",
    "RendezvousConnectionError",
    "RendezvousError",
    "RendezvousGracefulExitError",
    "RendezvousHandler",
    "RendezvousHandlerCreator",
    "RendezvousHandlerRegistry",
    "RendezvousInfo",
    "RendezvousParameters",
    "RendezvousStateError",
    "RendezvousStoreInfo",
    "RendezvousTimeoutError",
    "rendezvous_handler_registry",
]

log = logging.getLogger(__name__)

_TRUE = frozenset({"1", "true", "t", "yes", "y"})
_FALSE = frozenset({"0", "false", "f", "no", "n"})


# --- errors ---


def _torch_error(name: str) -> type[Exception]:
    """Return torch's error of that name, if there is a torch that has it."""
    error: type[Exception] = getattr(_torch, name, Exception)
    return error


class RendezvousError(_torch_error("RendezvousError")):  # type: ignore[misc]
    """A rendezvous failed; the base of all errors here."""


class RendezvousClosedError(RendezvousError, _torch_error("RendezvousClosedError")):  # type: ignore[misc]
    """The rendezvous is closed: its run is over."""


class RendezvousTimeoutError(RendezvousError, _torch_error("RendezvousTimeoutError")):  # type: ignore[misc]
    """The rendezvous was not complete in time."""


class RendezvousConnectionError(RendezvousError, _torch_error("RendezvousConnectionError")):  # type: ignore[misc]
    """The store of the rendezvous could not be reached."""


class RendezvousStateError(RendezvousError, _torch_error("RendezvousStateError")):  # type: ignore[misc]
    """What stands in the store is not the state of a rendezvous."""


class RendezvousGracefulExitError(RendezvousError, _torch_error("RendezvousGracefulExitError")):  # type: ignore[misc]
    """The node was not needed, and goes; that is no failure."""


# --- results ---


@dataclass
class RendezvousStoreInfo:
    """Where the workers of a round find the store through which they set up their communication.

    Attributes:
        master_addr: The host of rank 0, as the others reach it.
        master_port: The store's TCP port there.
    """

    MASTER_ADDR_KEY: ClassVar[str] = "MASTER_ADDR"
    MASTER_PORT_KEY: ClassVar[str] = "MASTER_PORT"
    master_addr: str
    master_port: int

    @staticmethod
    def build(
        rank: int,
        store: Store,
        local_addr: str | None,
        server_port: int | None = None,
    ) -> RendezvousStoreInfo:
        """Have rank 0 choose an address and all others learn it; blocks until it is known.

        Args:
            rank: This node's rank.
            store: Through which the address is passed on; its own time-out limits the wait.
            local_addr: This node's address; the host's full name if there is none.
            server_port: Where the store already listens; a free port if nowhere.

        Raises:
            RendezvousStateError: what the store holds is not an address.
        """
        if rank == 0:
            addr = local_addr or socket.getfqdn()
            port = server_port or get_free_port()
            store.set(RendezvousStoreInfo.MASTER_ADDR_KEY, addr.encode())
            store.set(RendezvousStoreInfo.MASTER_PORT_KEY, str(port).encode())
        found_addr = store.get(RendezvousStoreInfo.MASTER_ADDR_KEY)
        found_port = store.get(RendezvousStoreInfo.MASTER_PORT_KEY)
        try:
            return RendezvousStoreInfo(found_addr.decode(), int(found_port.decode()))
        except ValueError as error:
            raise RendezvousStateError(
                f"the store holds {found_addr!r} and {found_port!r}, which are no host and port"
            ) from error


class RendezvousInfo:
    """A round, as one of its nodes sees it."""

    def __init__(
        self,
        store: Store,
        rank: int,
        world_size: int,
        bootstrap_store_info: RendezvousStoreInfo,
    ) -> None:
        self._store = store
        self._rank = rank
        self._world_size = world_size
        self._bootstrap_store_info = bootstrap_store_info

    @property
    def store(self) -> Store:
        """The store through which the nodes of the round exchange what they need."""
        return self._store

    @property
    def rank(self) -> int:
        """This node's rank among them, from 0."""
        return self._rank

    @property
    def world_size(self) -> int:
        """How many nodes are in the round."""
        return self._world_size

    @property
    def bootstrap_store_info(self) -> RendezvousStoreInfo | None:
        """Where the workers find the store through which they set up their communication."""
        return self._bootstrap_store_info


# --- handlers ---


class RendezvousHandler(ABC):
    """A node's part in the rounds of one run: what torchrun's agent calls."""

    @abstractmethod
    def get_backend(self) -> str:
        """Return the name of the backend, as it was asked for."""

    @property
    def use_agent_store(self) -> bool:
        """Whether the workers may use the store that :meth:`next_rendezvous` returns."""
        return False

    @abstractmethod
    def next_rendezvous(self) -> RendezvousInfo:
        """Wait until this node is in a complete round, and return it.

        Raises:
            RendezvousClosedError: the run is over.
            RendezvousConnectionError: the store could not be reached.
            RendezvousStateError: what stands in the store is not the state of a rendezvous.
            RendezvousTimeoutError: the round was not complete in time.
            SystemExit: with 0, the run ended and did not need this node.
        """

    @abstractmethod
    def is_closed(self) -> bool:
        """Return whether the run is over, as far as this node has heard."""

    @abstractmethod
    def set_closed(self) -> None:
        """Say that the run is over; the other nodes learn it in time."""

    @abstractmethod
    def num_nodes_waiting(self) -> int:
        """Return how many nodes wait to be let into a round; if any, a new one is due."""

    @abstractmethod
    def get_run_id(self) -> str:
        """Return the id of the run."""

    @abstractmethod
    def shutdown(self) -> bool:
        """Give back all that the handler holds; return whether that went well."""


if _torch is not None:
    _torch.RendezvousHandler.register(RendezvousHandler)


class RendezvousParameters:
    """From what a handler is made.

    Args:
        backend: The name of the backend, not empty.
        endpoint: Where the rendezvous is, for most backends ``HOST[:PORT]``.
        run_id: The id of the run.
        min_nodes: The fewest nodes of a round, at least 1.
        max_nodes: The most nodes of a round, at least ``min_nodes``.
        local_addr: The address of this node.
        **kwargs: The backend's own options.

    Raises:
        ValueError: an argument is not allowed.
    """

    def __init__(  # noqa: PLR0917 - torch has them in this order
        self,
        backend: str,
        endpoint: str,
        run_id: str,
        min_nodes: int,
        max_nodes: int,
        local_addr: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not backend:
            raise ValueError("The rendezvous backend name must be a non-empty string.")
        if min_nodes < 1:
            raise ValueError(
                f"The minimum number of rendezvous nodes ({min_nodes}) must be greater than zero."
            )
        if max_nodes < min_nodes:
            raise ValueError(
                f"The maximum number of rendezvous nodes ({max_nodes}) must be greater than or "
                f"equal to the minimum number of rendezvous nodes ({min_nodes})."
            )
        self.backend = backend
        self.endpoint = endpoint
        self.run_id = run_id
        self.min_nodes = min_nodes
        self.max_nodes = max_nodes
        self.config = kwargs
        self.local_addr = local_addr

    def get(self, key: str, default: Any = None) -> Any:
        """Return the option ``key`` as it was given, ``default`` if it was not."""
        return self.config.get(key, default)

    def get_as_bool(self, key: str, default: bool | None = None) -> bool | None:
        """Return the option ``key`` as a truth value, ``default`` if it was not given.

        Raises:
            ValueError: it is none of 1, true, t, yes, y, 0, false, f, no, n.
        """
        value = self.get(key, default)
        if value is None or isinstance(value, bool):
            return value
        text = str(value).lower() if isinstance(value, (int, str)) else ""
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        allowed = f"one of {', '.join(sorted(_TRUE | _FALSE))}"
        raise ValueError(
            f"The rendezvous configuration option '{key}' does not represent a valid boolean value."
        ) from OptionError(key, value, allowed)

    def get_as_int(self, key: str, default: int | None = None) -> int | None:
        """Return the option ``key`` as a whole number, ``default`` if it was not given.

        Raises:
            ValueError: it is not one.
        """
        value = self.get(key, default)
        if value is None:
            return None
        try:
            return int(value)
        except (ValueError, TypeError, OverflowError):
            raise ValueError(
                f"The rendezvous configuration option '{key}' does not represent a valid integer "
                "value."
            ) from OptionError(key, value, "a whole number")


# --- handlers by name ---

RendezvousHandlerCreator = Callable[[RendezvousParameters], RendezvousHandler]


class RendezvousHandlerRegistry:
    """Creators of handlers, by the names of their backends."""

    def __init__(self) -> None:
        self._registry: dict[str, RendezvousHandlerCreator] = {}

    def register(self, backend: str, creator: RendezvousHandlerCreator) -> None:
        """Have ``creator`` make the handlers of ``backend``.

        Raises:
            ValueError: the name is empty, or another creator has it.
        """
        if not backend:
            raise ValueError("The rendezvous backend name must be a non-empty string.")
        known = self._registry.setdefault(backend, creator)
        if known != creator:
            raise ValueError(
                f"The rendezvous backend '{backend}' cannot be registered with '{creator}' as it "
                f"is already registered with '{known}'."
            )

    def create_handler(self, params: RendezvousParameters) -> RendezvousHandler:
        """Make a handler of ``params.backend``.

        Raises:
            ValueError: there is no such backend, or it refuses the parameters.
            RuntimeError: the handler calls itself by another name; it was shut down.
        """
        creator = self._registry.get(params.backend)
        if creator is None:
            raise ValueError(
                f"The rendezvous backend '{params.backend}' is not registered. Did you forget to "
                "call `register`?"
            )
        handler = creator(params)
        name = handler.get_backend()
        if name != params.backend:
            _discard(handler)
            raise RuntimeError(
                f"The rendezvous backend '{name}' does not match the requested backend "
                f"'{params.backend}'."
            )
        return handler


def _discard(handler: RendezvousHandler) -> None:
    """Shut down a handler that nobody will get."""
    try:
        handler.shutdown()
    except Exception:
        log.warning("A refused rendezvous handler could not be shut down.", exc_info=True)


if TYPE_CHECKING:
    rendezvous_handler_registry: RendezvousHandlerRegistry
else:

    def __getattr__(name: str) -> Any:
        """Give ``rendezvous_handler_registry`` of this process, with all known backends."""
        if name == "rendezvous_handler_registry":
            # Only now: finding the backends means to load plug-ins, which may import this module.
            from rdzv_client import registry  # noqa: PLC0415

            return registry.handler_registry
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_free_port() -> int:
    """Return a TCP port that is free on all interfaces of this host at this moment."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
