"""torch's rendezvous handler over the protocol: what torchrun's agent calls."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
from dataclasses import replace
from typing import NoReturn

from torch.distributed import TCPStore

from rdzv_client import (
    api,
    events,
    memory,
    participation,
    patience,
    round_store,
    termination,
    torchrun,
    wire,
    wording,
    worker_failure,
)
from rdzv_client.backends import StoreUnavailable
from rdzv_client.options import Options
from rdzv_client.progress.herald import Herald, Place
from rdzv_client.session import Session

log = logging.getLogger(__name__)

_RECHECK_S = 1.0
_ASKS_PER_JOIN_TIMEOUT = 10


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
        self._entered: participation.Enter | None = None
        self._bound: tuple[int, TCPStore] | None = None
        self._started = self._has_left = False
        self._was_spare = False
        self._fault_since: float | None = None
        self._asks_at = 0.0
        self._said = ""
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
            RendezvousClosedError: the run is over.
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
        self._come_in()
        with self._events.failure("next_rendezvous"), termination.ended_by_sigterm():
            try:
                info = self._take_part(began)
            except (KeyboardInterrupt, SystemExit):
                self._leave("signal", "it was told to stop while it waited for a round")
                raise
        assert self._entered
        if failure and before:
            self._patience.note(before, self._entered.round)
        if self._herald:
            self._herald.begin(Place(self._entered.round.number, info.rank, info.world_size))
        self._events.joined(self._entered.round.number, info.rank, info.world_size)
        log.info(
            "Round %d of run %s: rank %d of %d after %.2f s; %s.",
            self._entered.round.number,
            self._run_id,
            info.rank,
            info.world_size,
            time.monotonic() - began,
            self._entered.round.reason,
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

        Raises:
            RendezvousConnectionError: the store could not be reached within ``close_timeout``.
            RendezvousTimeoutError: no leader closed the run within that time.
        """
        if self._has_left or self.is_closed():
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

    def _come_in(self) -> None:
        self._said, self._was_spare = "", False
        self._entered = None
        if self._herald:
            self._herald.pause()
        seen = self._last_formed()
        self._session.write(lambda record: replace(record, acked=0, store=None, last_round=seen))
        self._start()

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

    def _last_formed(self) -> int:
        """The highest round that this member knows was formed, to be republished."""
        round_ = self._session.round
        formed = 0 if round_ is None else round_.number - (round_.phase == "proposed")
        return max(formed, self._session.record.last_round)

    def _take_part(self, began: float) -> api.RendezvousInfo:
        deadline = began + self._options.join_timeout
        self._asks_at = began + self._options.join_timeout / _ASKS_PER_JOIN_TIMEOUT
        while True:
            step = self._next_step()
            if isinstance(step, participation.Await):
                deadline = self._wait_on(step, deadline)
            elif isinstance(step, participation.Agree):
                self._agree(step)
            elif isinstance(step, participation.Rejoin):
                self._come_in()
            elif isinstance(step, participation.Closed):
                self._refuse(step)
            else:
                self._entered = step
                return self._info(step)

    def _next_step(self) -> participation.Step:
        session = self._session
        if session.dismissed:
            log.info("Leaving run %s: %s.", self._run_id, session.evicted)
            _end_well(f"run {self._run_id}: {session.evicted}")
        if session.evicted is not None:
            raise api.RendezvousError(session.evicted)
        self._refuse_what_cannot_be_read()
        return participation.follow(session.record, session.round, session.rank)

    def _refuse_what_cannot_be_read(self) -> None:
        """Not at once, but after a lease in which somebody might set it right."""
        fault = self._session.fault
        if not isinstance(fault, wire.WireError):
            self._fault_since = None
            return
        now = time.monotonic()
        self._fault_since = self._fault_since or now
        if now - self._fault_since >= self._options.lease_ttl:
            self._leave("left", "the state of the run cannot be read")
            raise api.RendezvousStateError(f"run {self._run_id}: {fault}")

    def _wait_on(self, step: participation.Await, deadline: float) -> float:
        """Wait until there is another step; return the deadline.

        It moves on for spares, and while pods wait for a node.
        """
        self._say_once(step.reason)
        now = time.monotonic()
        if step.as_spare:
            self._was_spare = True
        if step.as_spare or self._awaits_nodes(now):
            deadline = max(deadline, now + self._options.join_timeout)
        if now >= deadline:
            self._time_out(step)

        def moved() -> bool:
            session = self._session
            return (
                session.evicted is not None
                or participation.follow(session.record, session.round, session.rank) != step
            )

        self._session.wait(moved, min(deadline - now, _RECHECK_S))
        return deadline

    def _awaits_nodes(self, now: float) -> bool:
        """Ask now and then whether pods wait for a node: meanwhile nobody's time runs.

        Who waits is not told of settings, since they change with every pod that comes.
        """
        if now < self._asks_at:
            return False
        self._asks_at = now + self._options.join_timeout / _ASKS_PER_JOIN_TIMEOUT
        try:
            settings = self._session.settings()
        except (StoreUnavailable, wire.WireError):
            return False
        return settings is not None and settings.scheduling

    def _time_out(self, step: participation.Await) -> NoReturn:
        limit_s = self._options.join_timeout
        fault, who = self._session.fault, self._who_is_there()
        self._leave("left", f"it found no place in a round within {limit_s:g} s")
        if isinstance(fault, wire.WireError):
            raise api.RendezvousStateError(f"run {self._run_id}: {fault}")
        if fault is not None:
            raise api.RendezvousConnectionError(f"run {self._run_id}: {fault}")
        raise api.RendezvousTimeoutError(
            f"run {self._run_id}: no place in a round within {limit_s:g} s: {step.reason}{who}"
        )

    def _who_is_there(self) -> str:
        try:
            here = self._session.census()
        except StoreUnavailable:
            return ""
        least = self._session.record.min_nodes
        there = f"{wording.count(len(here), 'member')} there ({wording.names(here)})"
        return f"; {there}, at least {least} needed"

    def _agree(self, step: participation.Agree) -> None:
        address = None
        if step.rank == 0:
            host = self._session.record.addr
            store = round_store.bind(host, self._options.join_timeout)
            self._bound = (step.proposal, store)
            address = wire.StoreAddress(host, store.port)
        seen = self._last_formed()
        self._session.write(
            lambda record: replace(record, acked=step.proposal, store=address, last_round=seen)
        )

    def _refuse(self, step: participation.Closed) -> NoReturn:
        if self._was_spare:
            log.info("Run %s is over, and did not need this node: %s.", self._run_id, step.reason)
            self._leave("finished", "the run ended before there was a place for it")
            _end_well(f"run {self._run_id} ended without needing this node: {step.reason}")
        raise api.RendezvousClosedError(f"run {self._run_id} is closed: {step.reason}")

    def _info(self, step: participation.Enter) -> api.RendezvousInfo:
        hosted = self._bound and self._bound[0] == step.round.proposal
        self._bound = self._bound if hosted else None
        world_size = step.round.world_size
        store = round_store.RoundStore(
            self._connect(step), world_size, self._is_disturbed, self._finish, self._settled
        )
        address = api.RendezvousStoreInfo(step.store.host, step.store.port)
        return api.RendezvousInfo(store, step.rank, world_size, address)

    def _connect(self, step: participation.Enter) -> round_store.Connection | round_store.Standing:
        """What the agents of the round exchange their ranks through."""
        hosted = self._bound[1] if self._bound else None
        return round_store.Connection(step.store, self._options.join_timeout, hosted)

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
        if not self._started or self._has_left:
            return True
        self._has_left = True
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
            round=self._last_formed(),
        )
        return self._session.leave(left, self._options.close_timeout)

    def _say_once(self, reason: str) -> None:
        fault = self._session.fault
        words = f"{reason} ({fault})" if fault else reason
        if words != self._said:
            self._said = words
            log.info("Waiting in run %s: %s.", self._run_id, words)


def _end_well(reason: str) -> NoReturn:
    """End this node's part with success."""
    if torchrun.is_running():
        raise SystemExit(0)
    raise api.RendezvousGracefulExitError(reason)
