"""The protocol over torch's TCPStore (c10d).

Nothing here imports torch: who opens the connections hands in a function for that.
"""

from rdzv_client.backends.c10d.backend import C10dBackend
from rdzv_client.backends.c10d.operators import (
    declare_gone,
    drain,
    read_round,
    tell_site,
    write_settings,
)

__all__ = ["C10dBackend", "declare_gone", "drain", "read_round", "tell_site", "write_settings"]
