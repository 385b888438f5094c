"""What a rendezvous promises to who uses it: results and errors.

The errors are torch's own where torch is installed, so that ``except`` clauses written for either
catch both.
"""

from __future__ import annotations

try:
    from torch.distributed.elastic.rendezvous.api import (
        RendezvousClosedError,
        RendezvousConnectionError,
        RendezvousError,
        RendezvousGracefulExitError,
        RendezvousHandler,
        RendezvousInfo,
        RendezvousParameters,
        RendezvousStateError,
        RendezvousStoreInfo,
        RendezvousTimeoutError,
    )
except ImportError as error:  # pragma: no cover - the operator has no torch and needs none of this
    raise ImportError(
        "rdzv_client.api needs torch 2.5 or newer; it comes with the training image"
    ) from error

__all__ = [
    "RendezvousClosedError",
    "RendezvousConnectionError",
    "RendezvousError",
    "RendezvousGracefulExitError",
    "RendezvousHandler",
    "RendezvousInfo",
    "RendezvousParameters",
    "RendezvousStateError",
    "RendezvousStoreInfo",
    "RendezvousTimeoutError",
]
