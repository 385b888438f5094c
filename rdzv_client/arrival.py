"""A member's way into the next round: what one call of ``next_rendezvous`` does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NoReturn

from torch.distributed import TCPStore

from rdzv_client import api, participation, round_store, torchrun, wire, wording
from rdzv_client.backends import StoreUnavailable
from rdzv_client.options import Options
from rdzv_client.session import Session

log = logging.getLogger(__name__)

_RECHECK_S: Final = 1.0
_ASKS_PER_JOIN_TIMEOUT: Final = 10


class Arrival:
    """Follows the rounds from outside until this member is in one.

    Args:
        run_id: The run.
        session: The member's seat in it.
        options: How long to wait for what.
        leave: Called with a cause and a reason when the member gives up.

    Attributes:
        was_spare: Whether it has waited beside a round that stood, and not only for one to form.
    """

    def __init__(
        self, run_id: str, session: Session, options: Options, leave: Callable[[str, str], bool]
    ) -> None:
        self._run_id, self._session, self._options = run_id, session, options
        self._leave = leave
        now = time.monotonic()
        self._deadline = now + options.join_timeout
        self._asks_at = now + options.join_timeout / _ASKS_PER_JOIN_TIMEOUT
        self._bound: tuple[int, TCPStore] | None = None
        self.was_spare = False
        self._fault_since: float | None = None
        self._said = ""

    def announce(self) -> None:
        """Say that the member is ready for the next round, and in none."""
        seen = self._session.last_formed
        self._session.write(lambda record: replace(record, acked=0, store=None, last_round=seen))

    def wait(self) -> participation.Enter:
        """Return the round, when it stands. Raises as ``next_rendezvous``."""
        while True:
            step = self._next_step()
            if isinstance(step, participation.Await):
                self._wait_on(step)
            elif isinstance(step, participation.Agree):
                self._agree(step)
            elif isinstance(step, participation.Rejoin):
                self._said, self.was_spare = "", False
                self.announce()
            elif isinstance(step, participation.Closed):
                self._refuse(step)
            else:
                return step

    def hosted(self, step: participation.Enter) -> TCPStore | None:
        """Return the round's store, if this member has rank 0 in it and so hosts it."""
        if self._bound and self._bound[0] == step.round.proposal:
            return self._bound[1]
        return None

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

    # --- waiting ---

    def _wait_on(self, step: participation.Await) -> None:
        """Wait until there is another step.

        The deadline moves on for spares, and while pods wait for a node.
        """
        self._say_once(step.reason)
        now = time.monotonic()
        if step.as_spare:
            self.was_spare = True
        if step.as_spare or self._awaits_nodes(now):
            self._deadline = max(self._deadline, now + self._options.join_timeout)
        if now >= self._deadline:
            self._time_out(step)

        def moved() -> bool:
            session = self._session
            return (
                session.evicted is not None
                or participation.follow(session.record, session.round, session.rank) != step
            )

        self._session.wait(moved, min(self._deadline - now, _RECHECK_S))

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

    def _say_once(self, reason: str) -> None:
        fault = self._session.fault
        words = f"{reason} ({fault})" if fault else reason
        if words != self._said:
            self._said = words
            log.info("Waiting in run %s: %s.", self._run_id, words)

    # --- agreeing ---

    def _agree(self, step: participation.Agree) -> None:
        address = None
        if step.rank == 0:
            host = self._session.record.addr
            store = round_store.bind(host, self._options.join_timeout)
            self._bound = (step.proposal, store)
            address = wire.StoreAddress(host, store.port)
        seen = self._session.last_formed
        self._session.write(
            lambda record: replace(record, acked=step.proposal, store=address, last_round=seen)
        )

    # --- giving up ---

    def _refuse(self, step: participation.Closed) -> NoReturn:
        if self.was_spare:
            log.info("Run %s is over, and did not need this node: %s.", self._run_id, step.reason)
            self._leave("finished", "the run ended before there was a place for it")
            _end_well(f"run {self._run_id} ended without needing this node: {step.reason}")
        raise api.RendezvousClosedError(f"run {self._run_id} is closed: {step.reason}")

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


def _end_well(reason: str) -> NoReturn:
    """End this node's part with success."""
    if torchrun.is_running():
        raise SystemExit(0)
    raise api.RendezvousGracefulExitError(reason)
