"""torch's rendezvous handler over the protocol: what torchrun's agent calls."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
from dataclasses import replace

from torch.distributed import TCPStore

from rdzv_client import (
    api,
    events,
    memory,
    participation,
    patience,
    round_store,
    termination,
    wire,
    worker_failure,
)
from rdzv_client.arrival import Arrival
from rdzv_client.backends import StoreUnavailable
from rdzv_client.options import Options
from rdzv_client.progress.herald import Herald, Place
from rdzv_client.session import Session

log = logging.getLogger(__name__)


class ProtocolHandler(api.RendezvousHandler):
    """Forms rounds with the other members of a run.

    ``num_nodes_waiting`` answers from what the session has heard: it never waits for the store and
    never raises. It is positive from the moment on when the round this agent works in has ended,
    for whatever cause, so that the agent restarts its workers without spending a restart.

    Args:
        name: The backend's name, as it was asked for.
        run_id: The run.
        session: This member's seat in it; the handler starts it.
        options: How long to wait for what.
        herald: Who is told when rounds begin and end, to tell how far training has come.
    """

    def __init__(
        self,
        name: str,
        run_id: str,
        session: Session,
        options: Options,
        herald: Herald | None = None,
    ) -> None:
        self._name, self._run_id = name, run_id
        self._session, self._options, self._herald = session, options, herald
        self._arrival: Arrival | None = None
        self._entered: participation.Enter | None = None
        self._hosted: TCPStore | None = None
        self._started = False
        self._left = ""
        self._events = events.Recorder(run_id, session.record)
        self._kills = memory.Kills()
        self._patience = patience.Patience()

    # --- what torchrun calls ---

    @property
    def use_agent_store(self) -> bool:
        """True: the workers use the store of their round, which is new in every round."""
        return True

    def get_backend(self) -> str:
        """Return the name of the backend, as it was asked for."""
        return self._name

    def get_run_id(self) -> str:
        """Return the id of the run."""
        return self._run_id

    def next_rendezvous(self) -> api.RendezvousInfo:
        """Take part in the next round, and return when it stands.

        Returns:
            The member's rank, the world size, the store of the round, and where it listens.

        Raises:
            RendezvousClosedError: the run is over, or this handler has left it.
            RendezvousTimeoutError: there was no place in a round within ``join_timeout``, in which
                no pod waited for a node.
            RendezvousConnectionError: the store could not be reached within that time.
            RendezvousStateError: what stands in the store is not a valid round.
            RendezvousError: this member's place was given up; the message says why.
            RendezvousGracefulExitError: it waited as a spare, and the run ended without needing it,
                or it was asked to leave. Under torchrun, which takes any exception for a failure,
                it is SystemExit with 0.
        """
        began = time.monotonic()
        self._events.attempts("next_rendezvous")
        before = self._entered.round if self._entered else None
        if failure := worker_failure.of_caller():
            log.warning("%s", failure.because(self._kills.news()))
            self._bear_it()
        with self._events.failure("next_rendezvous"), termination.ended_by_sigterm():
            step = self._arrive()
            info = self._info(step)
        if failure and before:
            self._patience.note(before, step.round)
        if self._herald:
            self._herald.begin(Place(step.round.number, info.rank, info.world_size))
        self._events.joined(step.round.number, info.rank, info.world_size)
        log.info(
            "Round %d of run %s: rank %d of %d after %.2f s; %s.",
            step.round.number,
            self._run_id,
            info.rank,
            info.world_size,
            time.monotonic() - began,
            step.round.reason,
        )
        return info

    def num_nodes_waiting(self) -> int:
        """Return 1 when the round this agent works in has ended, else 0."""
        return int(self._session.evicted is not None or self._is_disturbed())

    def is_closed(self) -> bool:
        """Return whether the run is over, as far as this member has heard.

        One that has not joined yet asks the store.

        Raises:
            RendezvousConnectionError: it has not joined, and the store cannot be reached.
            RendezvousStateError: the same, and what stands there is not a valid round.
        """
        round_ = self._session.round if self._started else self._peek()
        return round_ is not None and round_.phase == "closed"

    def set_closed(self) -> None:
        """Close the run, for all members and for ever. Who works in a round is not disturbed.

        Who has left it can no longer close it, which is logged as a warning.

        Raises:
            RendezvousConnectionError: the store could not be reached within ``close_timeout``.
            RendezvousTimeoutError: no leader closed the run within that time.
        """
        if self._left:
            log.warning("Run %s: not closed by who has left it: %s.", self._run_id, self._left)
        if self._left or self.is_closed():
            return
        self._events.attempts("set_closed")
        self._session.write(lambda record: replace(record, closes="set_closed was called"))
        self._start()
        limit_s = self._options.close_timeout
        if self._session.wait(self.is_closed, limit_s):
            return
        if fault := self._session.fault:
            raise api.RendezvousConnectionError(f"run {self._run_id}: {fault}")
        raise api.RendezvousTimeoutError(f"run {self._run_id} was not closed within {limit_s:g} s")

    def _peek(self) -> wire.Round | None:
        try:
            return self._session.peek()
        except StoreUnavailable as error:
            raise api.RendezvousConnectionError(f"run {self._run_id}: {error}") from error
        except wire.WireError as error:
            raise api.RendezvousStateError(f"run {self._run_id}: {error}") from error

    def shutdown(self) -> bool:
        """Leave the run: finished, or failed when an exception is on its way. Closes nothing.

        Returns:
            Whether the store knows within ``close_timeout``.
        """
        kind, error, _ = sys.exc_info()
        if kind is None:
            self._finish()
            return self._leave("finished", "its workers ended with success")
        if failure := worker_failure.of_exception(error):
            failure = failure.because(self._kills.news())
            log.warning("%s", failure)
            worker_failure.leave(failure, os.environ)
        return self._leave("failed", f"{kind.__name__}: {error}"[:1000])

    # --- coming in ---

    def _bear_it(self) -> None:
        """Go on after a failure of this node's workers, unless there were too many unseen."""
        if not self._patience.is_strained:
            return
        try:
            why = self._patience.ends(self._session.settings())
        except (StoreUnavailable, wire.WireError):
            return  # no round can be formed either
        if why:
            self._leave("failed", why)
            raise api.RendezvousError(f"run {self._run_id}: {why}")

    def _arrive(self) -> participation.Enter:
        if self._left:
            raise api.RendezvousClosedError(
                f"this node has left run {self._run_id} ({self._left}): to take part again, make a "
                "new handler"
            )
        self._entered = None
        if self._herald:
            self._herald.pause()
        arrival = Arrival(self._run_id, self._session, self._options, self._leave)
        self._arrival = arrival
        arrival.announce()
        self._start()
        try:
            step = arrival.wait()
        except (KeyboardInterrupt, SystemExit):
            self._leave("signal", "it was told to stop while it waited for a round")
            raise
        self._entered, self._hosted = step, arrival.hosted(step)
        return step

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._warn_of_two_worlds()
            self._session.start()
            atexit.register(self._leave, "signal", "it was told to stop")

    def _warn_of_two_worlds(self) -> None:
        record = self._session.record
        if not record.operated and 2 * record.min_nodes <= record.max_nodes:
            log.info(
                "Run %s has no operator, and its least number of nodes (%d) is not more than half "
                "of its most (%d): if the store loses its data while nodes come and go, those who "
                "come may form a second world.",
                self._run_id,
                record.min_nodes,
                record.max_nodes,
            )

    def _info(self, step: participation.Enter) -> api.RendezvousInfo:
        world_size = step.round.world_size
        store = round_store.RoundStore(
            self._connect(step), world_size, self._is_disturbed, self._finish, self._settled
        )
        address = api.RendezvousStoreInfo(step.store.host, step.store.port)
        return api.RendezvousInfo(store, step.rank, world_size, address)

    def _connect(self, step: participation.Enter) -> round_store.Connection | round_store.Standing:
        """What the agents of the round exchange their ranks through."""
        return round_store.Connection(step.store, self._options.join_timeout, self._hosted)

    # --- going out ---

    def _is_disturbed(self) -> bool:
        entered = self._entered
        if entered is None:
            return False
        return participation.is_disturbed(entered.round, self._session.round)

    def _finish(self) -> None:
        """Say that this node's workers have all ended with success."""
        self._session.write(lambda record: replace(record, finished=True))

    def _settled(self, timeout_s: float) -> bool:
        """Wait until all members have finished, or the round has ended without this one."""
        return self._session.wait(
            lambda: self._session.evicted is not None or self.is_closed() or self._is_disturbed(),
            timeout_s,
        )

    def _leave(self, cause: str, reason: str) -> bool:
        has_left, self._left = bool(self._left), self._left or reason
        if has_left or not self._started:
            return True
        if self._herald:
            self._herald.end()
        self._events.left("shutdown", reason)
        record = self._session.record
        left = wire.Left(
            id=record.id,
            uid=record.uid,
            slot=record.slot,
            name=record.name,
            cause=cause,
            reason=reason,
            round=self._session.last_formed,
        )
        try:
            return self._session.leave(left, self._options.close_timeout)
        finally:
            # Nothing else keeps a handler, and the store it may host, that is not used any more.
            atexit.unregister(self._leave)
            self._arrival = self._hosted = None
