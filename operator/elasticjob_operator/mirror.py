"""What a job's store holds, kept up to date from its watch (pure)."""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from elasticjob_operator import testimony
from elasticjob_operator.observed import Drained, FormedRound, Reported, StoreView
from rdzv_client import wire
from rdzv_client.etcdv3 import messages

log = logging.getLogger(__name__)

FORMED_ROUNDS = 64
"""How many formed rounds are kept until the status has recorded them."""


class Mirror:
    """The records of one run, as the operator knows them.

    Attributes:
        revision: Up to where the store is known.
        news: Grows with whatever is heard, but for how far training has come.
    """

    def __init__(self, run_id: str) -> None:
        self.keys = wire.Keys(run_id)
        self.revision = 0
        self._settings: wire.Settings | None = None
        self._round: wire.Round | None = None
        self._members: dict[str, wire.Member] = {}
        self._ranks: dict[str, wire.Rank] = {}
        self._left: dict[str, wire.Left] = {}
        self._gone: set[str] = set()
        self._drains: dict[str, Drained] = {}
        self._sites: dict[str, str] = {}
        self._formed: deque[FormedRound] = deque(maxlen=FORMED_ROUNDS)
        self._progress: dict[str, Reported] = {}
        self.news = 0

    def reset(self, records: Iterable[messages.KeyValue], revision: int, now: datetime) -> None:
        """Take a full listing in place of all that was heard before."""
        self.news += 1
        self._settings, self._round, before = None, None, self._drains
        self._drains = {}
        for book in (self._members, self._ranks, self._left, self._gone, self._sites):
            book.clear()
        # The round comes last: it counts only with its ranks.
        for record in sorted(records, key=lambda record: record.mod_revision):
            self._put(record, now, late=True)
        self._drains |= {uid: drain for uid, drain in before.items() if uid in self._drains}
        self.revision = revision

    def update(self, events: Iterable[messages.Event], revision: int, now: datetime) -> None:
        """Take the changes up to this revision."""
        for event in events:
            self.news += not event.kv.key.startswith(self.keys.steps_prefix)
            if event.kind == "put":
                self._put(event.kv, now)
            else:
                self._delete(event.kv.key)
        self.revision = max(self.revision, revision)

    def insert_past(self, rounds: Iterable[FormedRound]) -> None:
        """Take rounds that were formed and ended while nobody watched."""
        known = {formed.record.number: formed for formed in (*rounds, *self._formed)}
        self._formed = deque((known[number] for number in sorted(known)), maxlen=FORMED_ROUNDS)

    def member_keys(self, uid: str) -> list[str]:
        """Return the keys of the records that this pod's agents wrote."""
        return [key for key, member in self._members.items() if member.uid == uid]

    def is_out(self, uid: str) -> bool:
        """Return whether the pod was already declared gone, or left when it was asked to."""
        left = any(one.uid == uid and one.cause == "drained" for one in self._left.values())
        return uid in self._gone or (left and not self.member_keys(uid))

    @property
    def drains(self) -> Mapping[str, Drained]:
        """The pods that were asked to leave, by UID, with when that was first heard."""
        return self._drains

    def view(self, *, reachable: bool, problem: str) -> StoreView:
        """Return all of it as one frozen value."""
        return StoreView(
            reachable=reachable,
            problem=problem,
            revision=self.revision,
            settings=self._settings,
            round=self._round,
            members=tuple(self._members.values()),
            left=tuple(self._left.values()),
            gone=frozenset(self._gone),
            drains=dict(self._drains),
            sites=dict(self._sites),
            formed=tuple(self._formed),
            progress=tuple(self._progress_in(self._round.number) if self._round else ()),
        )

    def _put(self, record: messages.KeyValue, now: datetime, *, late: bool = False) -> None:
        try:
            self._take(record.key, record.value, now)
        except wire.WireError as error:
            log.warning("ignored what stands in the store: %s", error)
            return
        formed = formed_round(self._round, self._ranks.values(), now, record.mod_revision)
        last = self._formed[-1].record.number if self._formed else 0
        if formed and formed.record.number > last:
            self._formed.append(dataclasses.replace(formed, late=late))

    def _take(self, key: str, value: bytes, now: datetime) -> None:
        keys = self.keys
        if key == keys.round:
            self._round = testimony.read(wire.Round, key, value)
            self._forget_progress_before(self._round.number)
        elif key.startswith(keys.steps_prefix):
            self._take_progress(wire.decode(wire.Progress, key, value), now)
        elif key == keys.settings:
            self._settings = testimony.read(wire.Settings, key, value)
        elif key.startswith(keys.members):
            self._members[key] = testimony.read(wire.Member, key, value)
        elif key.startswith(keys.ranks):
            self._ranks[key] = testimony.read(wire.Rank, key, value)
        elif key.startswith(keys.left_prefix):
            self._left[key] = testimony.read(wire.Left, key, value)
        elif key.startswith(keys.gone_prefix):
            self._gone.add(key.removeprefix(keys.gone_prefix))
        elif key.startswith(keys.drain_prefix):
            drain = testimony.read(wire.Drain, key, value)
            self._drains.setdefault(drain.uid, Drained(drain.reason, now))
        elif key.startswith(keys.site_prefix):
            site = testimony.read(wire.Site, key, value)
            self._sites[site.node] = site.topology

    def _take_progress(self, said: wire.Progress, now: datetime) -> None:
        before = self._progress.get(said.id)
        if before and said == before.said:
            return
        same = before and said.round == before.said.round and said.step <= before.said.step
        self._progress[said.id] = Reported(said, now, before.grown_at if before and same else now)

    def _progress_in(self, number: int) -> Iterator[Reported]:
        return (told for told in self._progress.values() if told.said.round == number)

    def _forget_progress_before(self, number: int) -> None:
        """What was said last is kept although its member has left: it may have finished."""
        kept = self._progress.items()
        self._progress = {member: told for member, told in kept if told.said.round >= number - 1}

    def _delete(self, key: str) -> None:
        keys = self.keys
        if key == keys.round:
            self._round = None
        elif key == keys.settings:
            self._settings = None
        self._members.pop(key, None)
        self._ranks.pop(key, None)
        self._left.pop(key, None)
        self._gone.discard(key.removeprefix(keys.gone_prefix))
        self._drains.pop(key.removeprefix(keys.drain_prefix), None)
        self._sites.pop(key.removeprefix(keys.site_prefix), None)


def formed_round(
    round_: wire.Round | None, ranks: Iterable[wire.Rank], at: datetime, revision: int
) -> FormedRound | None:
    """Return the round with its members, if it stands and all of their ranks are there."""
    if round_ is None or round_.phase != "complete":
        return None
    placed = [r for r in ranks if r.proposal == round_.proposal and r.leader == round_.leader]
    if len(placed) != round_.world_size:
        return None
    return FormedRound(round_, tuple(sorted(placed, key=lambda rank: rank.rank)), at, revision)
