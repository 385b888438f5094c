"""A user's own client of the package ``etcd3``, in place of ours."""

from __future__ import annotations

from typing import Any

from rdzv_client import etcdv3


def adapt(client: Any) -> etcdv3.Client:
    """Return a client that this package can use.

    Raises:
        TypeError: it is neither ours nor one of ``etcd3``.
    """
    if isinstance(client, etcdv3.Client):
        return client
    raise TypeError(
        f"expected an rdzv_client.etcdv3.Client or a client of etcd3, not {type(client)!r}"
    )
