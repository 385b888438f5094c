"""What stands in the store: keys and versioned JSON documents.

This is the only place that knows the format. The in-pod library and the operator both read and
write through it, so it imports the standard library alone.

Every run of a job has a prefix of its own, ``/rdzv/v1/<run id>/``, and under it

=============================  ==========  ==================================================
key                            written by  document
=============================  ==========  ==================================================
``op/settings``                operator    :class:`Settings`: bounds, who is expected, closed
``op/gone/<uid>``              operator    :class:`Gone`: this pod will never come back
``op/drain/<uid>``             operator    :class:`Drain`: this pod is to leave, in good order
``op/site/<node>``             operator    :class:`Site`: where this node stands
``members/<slot>/<member>``    the member  :class:`Member`, tied to the member's own liveness
``left/<member>``              the member  :class:`Left`: how and why it went (of one that is
                               or leader   refused or drained: the leader)
``lease``                      the leader  etcd: the lease under which what is left behind stands
``round``                      the leader  :class:`Round`: the one record all members watch
``ranks/<member>``             the leader  :class:`Rank`: this member's place in the round
``steps/<member>``             the member  :class:`Progress`, tied to its liveness; for the operator
=============================  ==========  ==================================================

What is read is not trusted: a document that is too large, torn, of another version or of the
wrong types raises :class:`WireError`, which names the key and the fault. Fields that are not known
are ignored, so that a newer writer of the same version can add some.
"""

from __future__ import annotations

from rdzv_client.wire.codec import MAX_DOCUMENT_BYTES, decode, encode
from rdzv_client.wire.documents import (
    CAUSES,
    LEFT_CAUSES,
    MAX_METRICS,
    MAX_NODES,
    MAX_NUMBER,
    MAX_STEP,
    METRIC_NAME,
    PHASES,
    Drain,
    Gone,
    Left,
    Member,
    Progress,
    Rank,
    Round,
    Settings,
    Site,
    StoreAddress,
)
from rdzv_client.wire.errors import WireError
from rdzv_client.wire.keys import VERSION, Keys, require_token

__all__ = [
    "CAUSES",
    "LEFT_CAUSES",
    "MAX_DOCUMENT_BYTES",
    "MAX_METRICS",
    "MAX_NODES",
    "MAX_NUMBER",
    "MAX_STEP",
    "METRIC_NAME",
    "PHASES",
    "VERSION",
    "Drain",
    "Gone",
    "Keys",
    "Left",
    "Member",
    "Progress",
    "Rank",
    "Round",
    "Settings",
    "Site",
    "StoreAddress",
    "WireError",
    "decode",
    "encode",
    "require_token",
]
