"""A member of a simulated cluster: the session's work without threads or sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from rdzv_client import participation, protocol, publication, verdicts, wire
from rdzv_client.replica import Contact, Replica
from rdzv_client.testing.store import Change, Write
from rdzv_client.view import View

if TYPE_CHECKING:
    from rdzv_client.testing.cluster import Cluster


class SimulatedMember:
    """One agent process: its record, its replica, and whether it works, waits or is dead.

    Attributes:
        entered: The round it works in; None while it is inside ``next_rendezvous``.
        ended: Why it ended for good; None while it has not.
        stop_s: How long its agent takes to stop its workers.
        listing: How often it has listed the run; a watch begins with a listing.
    """

    def __init__(self, cluster: Cluster, name: str, slot: int | None, topology: str = "") -> None:
        self.cluster, self.name, self.slot = cluster, name, slot
        self.uid = f"{name}-{next(cluster.nonces)}"
        self.id = f"{self.uid}.0"
        self.keys = wire.Keys("run")
        self.key = self.keys.member(slot, self.id)
        self.replica = Replica(self.keys, self.id, cluster.timing)
        self.record = replace(cluster.record_for(self), topology=topology)
        self.create_revision = self._mod_revision = 0
        self.entered: participation.Enter | None = None
        self.ended: str | None = None
        self.crashed = self.paused = self.cut_off = False
        self.stop_s = 0.1
        self.listing = 0
        self._inbox: list[Callable[[], None]] = []
        self._last_proposal = 0
        self._publishing = self._restarting = False
        self._written: wire.Member | None = None
        self._writing: wire.Member | None = None
        self._contact = Contact(cluster.timing.lease_ttl_s, cluster.now)
        self._best: publication.Known | None = None

    def __str__(self) -> str:
        round_ = self.entered.round.number if self.entered else None
        flags = [f for f in ("crashed", "paused", "cut_off") if getattr(self, f)]
        return f"{self.id}: works in {round_} acked {self.record.acked} {self.ended or ''} {flags}"

    @property
    def leading(self) -> bool:
        """Whether it hears of no older record than its own, as a backend tells a session."""
        return self.replica.oldest() == self.id

    @property
    def is_well(self) -> bool:
        return not (self.crashed or self.paused or self.cut_off or self.ended)

    # --- the world acts on it ---

    def begin(self) -> None:
        self._relist()
        self._register()
        self._beat()

    def crash(self) -> None:
        self.crashed = True

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        inbox, self._inbox = self._inbox, []
        for action in inbox:
            self.deliver(action)

    def cut(self) -> None:
        self.cut_off = True

    def heal(self) -> None:
        self.cut_off = False
        self.deliver(self.resync)

    def fail_workers(self) -> None:
        """The workers of this node fail; its agent comes back to the rendezvous."""
        if self.entered and self.is_well:
            self._come_back()

    def finish(self) -> None:
        """The workers of this node end with success."""
        self.record = replace(self.record, finished=True)
        self._advance()

    def close(self, reason: str) -> None:
        """It asks for the run to be closed."""
        self.record = replace(self.record, closes=reason)
        self._advance()

    def leave(self, cause: str, reason: str) -> None:
        left = wire.Left(self.id, self.uid, self.slot, self.name, cause, reason)
        self.ended = reason
        puts = {self.keys.left(self.id): wire.encode(left)}
        self.cluster.send(self, Write(self.id, puts, (self.key,)), lambda _revision: None)

    # --- messages ---

    def deliver(self, action: Callable[[], None]) -> None:
        """Have it process a message: now, when it is resumed, or never."""
        if self.crashed or self.ended:
            return
        if self.paused:
            self._inbox.append(action)
        else:
            action()

    def hear(self, changes: list[Change], listing: int) -> None:
        """The watch brings changes; one that is cut off hears nothing and will list again."""
        if not self.cut_off:
            self.deliver(lambda: self._take(changes, listing))

    def _take(self, changes: list[Change], listing: int) -> None:
        if listing != self.listing:
            return  # of a watch that was given up: what it brings is older than the listing
        now = self.cluster.now
        for change in changes:
            if change.record:
                self.replica.put(change.record, now)
            else:
                self.replica.delete(change.key, now)
        if any(change.key == self.key and change.record is None for change in changes):
            self._register()
        self._advance()

    def resync(self) -> None:
        """Contact was lost: list again, register again, bring back a round the store forgot."""
        self._relist()
        self._contact.interrupted(self.cluster.now)
        self._restore()
        self._register()

    def _relist(self) -> None:
        self.listing += 1
        self.replica.reset(self.cluster.store.records.values(), self.cluster.now)

    def beaten(self, known: bool) -> None:
        self._contact.beaten(self.cluster.now)
        if not known:
            self._register()

    def _beat(self) -> None:
        if self.crashed or self.ended:
            return
        if not self.paused:
            self.cluster.beat(self)
            self._advance()
        self.cluster.at(self.cluster.timing.lease_ttl_s / 3, self._beat)

    # --- its own record ---

    def _keep_record(self) -> None:
        """Bring the record in the store in line with the one here, one write at a time."""
        if self._writing or self._written == self.record:
            return
        registers = self._written is None
        absent = {self.keys.gone(self.uid): 0, self.keys.left(self.id): 0}
        write = Write(
            self.id,
            {self.key: wire.encode(self.record)},
            self._others_in_slot() if registers else (),
            created=absent if registers else {},
            modified={self.key: self._there() if registers else self._mod_revision},
            leased=True,
        )
        self._writing = sent = self.record
        self.cluster.send(self, write, lambda revision: self._wrote(sent, revision, registers))
        self.cluster.at(2.0, lambda: self.deliver(lambda: self._give_up(sent)))

    def _there(self) -> int:
        record = self.cluster.store.records.get(self.key)
        return record.mod_revision if record else 0

    def _out(self) -> str | None:
        """Why it may not register any longer."""
        records = self.cluster.store.records
        if self.keys.gone(self.uid) in records:
            return "declared gone"
        key = self.keys.left(self.id)
        return wire.decode(wire.Left, key, records[key].value).reason if key in records else None

    def _others_in_slot(self) -> tuple[str, ...]:
        """A new process takes the place of an older one in its slot."""
        if self.slot is None:
            return ()
        prefix = self.keys.slot(self.slot)
        keys = self.cluster.store.records
        return tuple(key for key in keys if key.startswith(prefix) and key != self.key)

    def _wrote(self, sent: wire.Member, revision: int, registers: bool) -> None:
        if self._writing is not sent:
            return  # it was given up
        self._writing = None
        if revision:
            self._written, self._mod_revision = sent, revision
        elif registers and (why := self._out()):
            self.ended = why
        else:
            self._written = None
        self._advance()

    def _give_up(self, sent: wire.Member) -> None:
        if self._writing is sent:
            self._writing = self._written = None
            self._advance()

    def _register(self) -> None:
        """Write anew: what stands in the store may be older than what was written."""
        self._written = self._writing = None
        self._advance()

    # --- the protocol ---

    def _advance(self) -> None:
        """Lead if it is this member's to lead; take its own next step."""
        if self.ended or self.crashed:
            return
        self._note()
        self._keep_record()
        self._lead()
        if self.entered is None:
            self._follow()
        elif self._must_restart(self.entered):
            self._restarting = True
            self.cluster.at(self.stop_s, lambda: self.deliver(self._come_back))

    def _must_restart(self, entered: participation.Enter) -> bool:
        free = not self._restarting and not self.record.finished
        return free and participation.is_disturbed(entered.round, self.replica.round)

    def _note(self) -> None:
        mine = self.cluster.store.records.get(self.key)
        self.create_revision = mine.create_revision if mine else 0
        round_ = self.replica.round
        if round_:
            formed = round_.number - (round_.phase == "proposed")
            best = max(self.record.last_round, formed)
            self.record = replace(self.record, last_round=best)
        self._best = publication.newest(self._best, self.replica)

    def _restore(self) -> None:
        """Bring back the round that the store forgot, as far as this member knows it."""
        lost = publication.restoration(self._best, self.replica)
        if lost and lost.rank:
            mine = {self.keys.rank(self.id): wire.encode(lost.rank)}
            self.cluster.send(self, Write(self.id, mine), lambda _revision: None)
        if lost and lost.round:
            puts = {self.keys.round: wire.encode(lost.round)}
            fence = {self.keys.round: self.replica.round_revision}
            write = Write(self.id, puts, modified=fence)
            self.cluster.send(self, write, lambda _revision: None)

    def _come_back(self) -> None:
        if self.entered is None:
            return
        self.entered, self._restarting = None, False
        self.record = replace(self.record, acked=0, store=None)
        self._advance()

    def _follow(self) -> None:
        step = participation.follow(self.record, self.replica.round, self.replica.my_rank)
        if isinstance(step, participation.Agree):
            port = self.cluster.random.randint(1024, 65535)
            store = wire.StoreAddress(self.record.addr, port) if step.rank == 0 else None
            self.record = replace(self.record, acked=step.proposal, store=store)
            self._keep_record()
        elif isinstance(step, participation.Enter):
            self.entered = step
            self.cluster.promises.check_return(self, step)
            self._advance()
        elif isinstance(step, participation.Rejoin):
            self.record = replace(self.record, acked=0, store=None)
            self._advance()
        elif isinstance(step, participation.Closed):
            self.ended = f"closed: {step.reason}"

    def _lead(self) -> None:
        if self._publishing or not self.leading:
            return
        now = self.cluster.now
        view = self.replica.view(now, self._contact.since(now))
        verdict = protocol.decide(view, now)
        if isinstance(verdict, verdicts.Omit):
            self.replica.omit(verdict.members, now)
            self._lead()
        elif isinstance(verdict, verdicts.Wait):
            if verdict.until is not None:
                self.cluster.at(verdict.until - now, lambda: self.deliver(self._advance))
        elif isinstance(verdict, verdicts.Refuse):
            self._refuse(publication.refusal(verdict))
        else:
            self._publish(verdict, view)

    def _refuse(self, left: wire.Left) -> None:
        write = Write(
            self.id,
            {self.keys.left(left.id): wire.encode(left)},
            (self.keys.member(left.slot, left.id),),
            created={self.key: self.create_revision},
        )
        self._send_as_leader(write)

    def _publish(
        self,
        verdict: verdicts.Propose | verdicts.Complete | verdicts.Break | verdicts.Close,
        view: View,
    ) -> None:
        nonce = self.cluster.random.getrandbits(publication.NONCE_BITS)
        self._last_proposal = publication.next_proposal(view, self._last_proposal, nonce)
        formation_s = self.replica.formation_s(self.cluster.now)
        new = publication.publish(verdict, view, self._last_proposal, formation_s)
        puts = {self.keys.rank(rank.id): wire.encode(rank) for rank in new.ranks}
        puts[self.keys.round] = wire.encode(new.round)
        write = Write(
            self.id,
            puts,
            tuple(self.keys.rank(member) for member in new.stale_ranks),
            created={self.key: self.create_revision},
            modified={self.keys.round: self.replica.round_revision},
        )
        self._send_as_leader(write)

    def _send_as_leader(self, write: Write) -> None:
        self._publishing = True
        self.cluster.send(self, write, self._published)
        self.cluster.at(1.0, lambda: self.deliver(lambda: self._published(0)))

    def _published(self, _revision: int) -> None:
        if self._publishing:
            self._publishing = False
            self.cluster.at(0.05, lambda: self.deliver(self._advance))
