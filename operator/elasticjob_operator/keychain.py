"""Where the operator's one secret is kept: in a Secret in its own namespace.

The first operator to start makes it. All others, and it itself when it starts again, read it.
"""

from __future__ import annotations

import functools
import logging
from base64 import b64decode, b64encode
from typing import Final

from elasticjob_operator import asking, authority, cluster, labels
from elasticjob_operator.authority import Authority

log = logging.getLogger(__name__)

KEY: Final = "seed"


class KeychainError(Exception):
    """The Secret is there and holds something else; the text says what to do."""


async def opened(the_cluster: cluster.Cluster, where: str) -> Authority:
    """Return the operator's secret, as soon as it can be had.

    Args:
        the_cluster: Where the Secret is kept.
        where: NAMESPACE/NAME.
    """
    ask = functools.partial(load, the_cluster, where)
    errors = (cluster.ClusterError, KeychainError)
    return await asking.until_answered(ask, errors, f"the operator's own secret {where}")


async def load(the_cluster: cluster.Cluster, where: str) -> Authority:
    """Read the Secret; make it if there is none.

    Raises:
        ClusterError: it can be neither read nor made.
        KeychainError: it holds something else.
    """
    namespace, name = where.split("/")
    found = await the_cluster.get("v1", "Secret", namespace, name)
    if found is None:
        found = await _made(the_cluster, namespace, name)
    try:
        return Authority(b64decode((found.get("data") or {})[KEY], validate=True))
    except (KeyError, ValueError):
        raise KeychainError(
            f"it has no key {KEY!r} of {authority.SEED_BYTES} bytes. Delete it to have a new one"
            " made; jobs that run need to be suspended and resumed then"
        ) from None


async def _made(the_cluster: cluster.Cluster, namespace: str, name: str) -> cluster.Manifest:
    seed = b64encode(authority.new().seed).decode()
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {labels.NAME: labels.OPERATOR},
        },
        "immutable": True,
        "data": {KEY: seed},
    }
    try:
        made = await the_cluster.create(manifest)
    except cluster.Refused as error:
        if error.reason != "AlreadyExists":
            raise
        return await the_cluster.get("v1", "Secret", namespace, name) or {}
    log.info("made the operator's own secret %s/%s", namespace, name)
    return made
