"""torch's rendezvous events, for whoever has set up a handler of them; else they cost nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed.elastic import events

from rdzv_client import wire


class Recorder:
    """Records what one node does in a run.

    Args:
        run_id: The run.
        node: The node's own record.
    """

    def __init__(self, run_id: str, node: wire.Member) -> None:
        self._run_id, self._node = run_id, node

    def attempts(self, method: str) -> None:
        """Record that the node has called a method of its handler."""
        self._record(method, f"calls {method}", events.NodeState.RUNNING)

    def joined(self, number: int, rank: int, world_size: int) -> None:
        """Record that the node has returned from a rendezvous."""
        words = f"has joined round {number} as rank {rank} in a world of size {world_size}"
        self._record("next_rendezvous", words, events.NodeState.RUNNING, rank)

    def left(self, method: str, reason: str) -> None:
        """Record that the node has left."""
        self._record(method, f"has left: {reason}", events.NodeState.SUCCEEDED)

    @contextmanager
    def failure(self, method: str) -> Iterator[None]:
        """Record it if the method fails."""
        try:
            yield
        except Exception as error:
            words = f"failed in {method}: {type(error).__name__}: {error}"
            self._record(method, words, events.NodeState.FAILED)
            raise

    def _record(
        self, method: str, words: str, state: events.NodeState, rank: int | None = None
    ) -> None:
        handler = events.get_logging_handler("dynamic_rendezvous")
        if isinstance(handler, logging.NullHandler):
            return
        events.construct_and_record_rdzv_event(
            name=f"ProtocolHandler.{method}",
            run_id=self._run_id,
            message=f"Rendezvous {self._run_id!r}: node {self._node.name!r} {words}.",
            node_state=state,
            hostname=self._node.addr,
            rank=rank,
        )
