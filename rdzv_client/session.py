"""One member's seat in a run: its record, what it hears, and its share of leading.

The session runs one thread that keeps the member's record in the store as it should be, through
outages, and that carries out the leader's verdicts while this member leads. Everything else only
reads what the session knows, so that nothing which the agent polls ever waits for the store.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable

from rdzv_client import protocol, publication, verdicts, wire
from rdzv_client.backends import Backend, Evicted, StoreUnavailable
from rdzv_client.monitor import Monitor
from rdzv_client.replica import Contact, Record, Replica
from rdzv_client.view import Timing

log = logging.getLogger(__name__)

_BACKOFF_S = (0.05, 2.0)
_RECHECK_S = 0.5
_SAY_EVERY_S = 1.0


class Session:
    """Registers a member and keeps it registered until :meth:`leave`.

    Args:
        backend: The store.
        keys: The run's keys.
        record: The member's first record.
        timing: How long a leader waits for what.

    Attributes:
        evicted: Why the member may not take part any longer; None while it may.
        dismissed: Whether that is because it was asked to leave in good order.
    """

    def __init__(
        self, backend: Backend, keys: wire.Keys, record: wire.Member, timing: Timing
    ) -> None:
        self.backend, self.timing = backend, timing
        self.evicted: str | None = None
        self.dismissed = False
        self._state = Monitor()
        self._replica = Replica(keys, record.id, timing)
        self._record = record
        self._written: wire.Member | None = None
        self._doubts = 0
        self._left: wire.Left | None = None
        self._best: publication.Known | None = None
        self._restore = False
        self._fault: Exception | None = None
        self._last_proposal = 0
        self._sealed = (-1, 0.0)
        self._progress_at = time.monotonic()
        self._contact = Contact(timing.lease_ttl_s, self._progress_at)
        self._calls = 0
        self._ended = False
        self._waiting_for, self._said_at = "", 0.0
        self._thread = threading.Thread(target=self._run, name="rendezvous-session", daemon=True)

    # --- what the handler asks ---

    def start(self) -> None:
        """Begin to register, to listen and to lead; returns at once."""
        self.backend.start(self)
        self._thread.start()

    def peek(self) -> wire.Round | None:
        """Read the round record from the store, without taking part.

        Raises:
            StoreUnavailable: the store cannot be reached.
            WireError: what stands there is not a valid round.
        """
        value = self.backend.read_round()
        if value is None:
            return None
        return wire.decode(wire.Round, self._replica.keys.round, value)

    def census(self) -> list[wire.Member]:
        """Read from the store who is there.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        members = []
        for value in self.backend.read_members():
            with contextlib.suppress(wire.WireError):
                members.append(wire.decode(wire.Member, "", value))
        return members

    def settings(self) -> wire.Settings | None:
        """Ask the store what the operator wants: only who leads is told of it.

        Raises:
            StoreUnavailable: the store cannot be reached.
            WireError: what stands there is not valid.
        """
        value = self.backend.read_settings()
        return wire.decode(wire.Settings, self._replica.keys.settings, value) if value else None

    @property
    def record(self) -> wire.Member:
        """The member's record as it should stand in the store."""
        return self._record

    @property
    def round(self) -> wire.Round | None:
        return self._replica.round

    @property
    def rank(self) -> wire.Rank | None:
        return self._replica.my_rank

    @property
    def last_formed(self) -> int:
        """The highest round that this member knows was formed, to be republished."""
        round_ = self.round
        formed = 0 if round_ is None else round_.number - (round_.phase == "proposed")
        return max(formed, self._record.last_round)

    @property
    def fault(self) -> Exception | None:
        """Why the store cannot be reached or its round record be read; None when all is well."""
        return self._replica.round_fault or self._fault

    def write(self, change: Callable[[wire.Member], wire.Member]) -> None:
        """Change the member's record; it reaches the store as soon as that can be reached."""
        with self._state:
            self._record = change(self._record)
            self._call()

    def wait(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something holds that depends on what the session knows."""
        return self._state.wait_for(holds, timeout_s)

    def leave(self, left: wire.Left, timeout_s: float) -> bool:
        """Take the member out of the run; return whether the store knows it within the time."""
        with self._state:
            if self._left is None:
                self._left = left
                self._call()
        ended = self._state.wait_for(lambda: self._ended, timeout_s)
        self._end(self.evicted)
        self.backend.stop()
        return ended

    # --- what the backend tells (see backends.Listener) ---

    def listed(self, records: Iterable[Record], *, continuous: bool) -> None:
        with self._state:
            now = time.monotonic()
            self._replica.reset(records, now)
            if not continuous:
                self._contact.interrupted(now)
                if self._best:
                    self._restore = True
                    self._forget_written()
            self._note_best()
            self._call_if_due()

    def changed(self, puts: Iterable[Record], deletes: Iterable[str]) -> None:
        with self._state:
            now = time.monotonic()
            for record in puts:
                self._replica.put(record, now)
            for key in deletes:
                self._replica.delete(key, now)
            self._note_best()
            self._call_if_due()

    def alive(self) -> bool:
        return time.monotonic() - self._progress_at < 3 * self.timing.lease_ttl_s + 5

    def beaten(self) -> None:
        with self._state:
            self._contact.beaten(time.monotonic())
            self._fault = None

    def lapsed(self) -> None:
        with self._state:
            self._contact.interrupted(time.monotonic())
            self._forget_written()
            self._call()

    def unreachable(self, error: Exception) -> None:
        self._fault = error

    # --- the session's own thread ---

    def _run(self) -> None:
        backoff_s = _BACKOFF_S[0]
        seen, until = -1, 0.0
        while not self._ended:
            timeout_s = min(until - time.monotonic(), _RECHECK_S)
            self._state.wait_for(lambda seen=seen: self._calls != seen, timeout_s)  # type: ignore[misc]
            seen = self._calls
            self._progress_at = time.monotonic()
            try:
                until = self._advance()
                backoff_s = _BACKOFF_S[0]
            except (StoreUnavailable, wire.WireError) as error:
                self._fault = error
                until = time.monotonic() + backoff_s * random.uniform(0.5, 1.0)  # noqa: S311
                backoff_s = min(backoff_s * 2, _BACKOFF_S[1])
                seen = self._calls
            except Evicted as error:
                self.dismissed = error.dismissed
                self._end(str(error))

    def _advance(self) -> float:
        """Do what is due; return when to look again at the latest, on the monotonic clock."""
        self._keep_record()
        if self._restore:
            self._bring_back()
        until = self._lead() if self.backend.leading else time.monotonic() + _RECHECK_S
        self._finish_leaving()
        return until

    def _keep_record(self) -> None:
        record, written, doubts = self._record, self._written, self._doubts
        if written is None:
            self.backend.register(record)
        elif written == record:
            return
        elif not self.backend.rewrite(record):
            self.lapsed()
            return
        self._fault = None
        with self._state:
            if doubts == self._doubts:
                self._written = record

    def _forget_written(self) -> None:
        """Register again: what stands in the store may be older than what was written."""
        self._doubts += 1
        self._written = None

    def _bring_back(self) -> None:
        self._restore = False
        lost = publication.restoration(self._best, self._replica)
        if lost and self._best:
            log.warning("The store forgot round %d; bringing it back.", self._best.round.number)
            self.backend.restore(lost, self._replica.round_revision)

    def _lead(self) -> float:
        now = time.monotonic()
        with self._state:
            if not self._replica.knows(self._record) or self._is_unheard(now):
                return now + _RECHECK_S
            view = self._replica.view(now, self._contact.since(now))
            revision = self._replica.round_revision
            formation_s = self._replica.formation_s(now)
        verdict = protocol.decide(view, now)
        if isinstance(verdict, verdicts.Wait):
            self._say_what_is_awaited(verdict.reason, now)
            return verdict.until if verdict.until is not None else now + _RECHECK_S
        log.info("As the leader: %s: %s", type(verdict).__name__.lower(), verdict.reason)
        if isinstance(verdict, verdicts.Omit):
            self._replica.omit(verdict.members, now)
            return now
        if isinstance(verdict, verdicts.Refuse):
            self.backend.refuse(publication.refusal(verdict))
            return time.monotonic() + _RECHECK_S
        nonce = random.getrandbits(publication.NONCE_BITS)
        self._last_proposal = publication.next_proposal(view, self._last_proposal, nonce)
        new = publication.publish(verdict, view, self._last_proposal, formation_s)
        if self.backend.publish(new, revision):
            self._sealed = (revision, time.monotonic())
        return time.monotonic() + _RECHECK_S

    def _is_unheard(self, now: float) -> bool:
        """Whether the round record that this leader has just written is still on its way back.

        Deciding again on the old one would only make a write that its fence refuses.
        """
        revision, at = self._sealed
        return self._replica.round_revision == revision and now < at + _RECHECK_S

    def _finish_leaving(self) -> None:
        if self._left and not self._ended:
            self.backend.leave(self._left)
            self._end(None)

    def _end(self, evicted: str | None) -> None:
        with self._state:
            self.evicted, self._ended = evicted, True
            self._call()

    def _note_best(self) -> None:
        """Remember the newest round, and that it was formed, for the day the store forgets it."""
        self._best = publication.newest(self._best, self._replica)

    def _call(self) -> None:
        """Have the session's own thread look what is due, and tell those who wait."""
        self._calls += 1
        self._state.notify()

    def _call_if_due(self) -> None:
        """The same, but what a member hears who has nothing to write is no work of that thread."""
        if self.backend.leading or self._restore or self._fault:
            self._calls += 1
        self._state.notify()

    def _say_what_is_awaited(self, reason: str, now: float) -> None:
        """One line for each change, but not for every member that comes within the same second."""
        if reason != self._waiting_for and now - self._said_at >= _SAY_EVERY_S:
            self._waiting_for, self._said_at = reason, now
            log.info("As the leader: %s", reason)
