"""The protocol over any backend that holds one value: torch's ``get_state`` and ``set_state``.

That interface is the published extension point of torch's rendezvous. It has one value per run, a
compare-and-set, and nothing to wait on, so

- the whole run stands in one document (:mod:`rdzv_client.backends.blob.document`), and every
  change reads, modifies and writes it, again after a pause if another was faster;
- everybody looks at an interval, more often for a while after something has changed;
- a member is alive as long as its beats grow, seen on the clock of who looks. The oldest living
  member leads, and removes the silent ones.

With N members a change costs O(N) bytes, each member reads O(N) bytes at every look, and N members
that write at once try O(N^2) times. That is the interface's cost: for more than some dozens of
members use a backend that offers more (etcd, or a TCPStore).
"""

from rdzv_client.backends.blob.alone import Alone
from rdzv_client.backends.blob.backend import BlobBackend
from rdzv_client.backends.blob.value import StateFault

__all__ = ["Alone", "BlobBackend", "StateFault"]
