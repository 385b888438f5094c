"""What an operator writes into a run, and reads of it, over a connection of its own."""

from __future__ import annotations

from rdzv_client import wire
from rdzv_client.backends.c10d import layout as names_of
from rdzv_client.backends.c10d import lead as leads
from rdzv_client.backends.c10d import registration
from rdzv_client.backends.c10d.backend import round_document
from rdzv_client.backends.c10d.chair import retire
from rdzv_client.backends.c10d.layout import Layout, Store, peek, write


def write_settings(store: Store, keys: wire.Keys, settings: wire.Settings) -> None:
    """Write what the operator wants of the run; before the first member comes, to seed it."""
    write(store, Layout(keys), {names_of.SETTINGS: wire.encode(settings)})


def declare_gone(store: Store, keys: wire.Keys, gone: wire.Gone) -> None:
    """Say that a pod will never come back; its members are out at once.

    The leader reads that. If it was the leader's own pod, the next in line leads from now on: it
    would otherwise hear of it only when the leader's signs of life stay away.
    """
    layout = Layout(keys)
    write(store, layout, {names_of.gone(gone.uid): wire.encode(gone)})
    while not _is_passed_on(store, layout, gone.uid):
        pass  # the leader has just written: its last words, unless it lives


def _is_passed_on(store: Store, layout: Layout, uid: str) -> bool:
    """Whether another leads than a member of this pod, if need be from now on."""
    value = peek(store, layout.round) or b""
    try:
        lead = leads.decode(layout.round, value)
    except wire.WireError:
        return True
    members = registration.numbered(store, layout)
    if lead.leader not in members or members[lead.leader].uid != uid:
        return True
    heirs = [number for number, member in members.items() if member.uid != uid]
    heir = min(heirs, default=leads.NOBODY)
    new = leads.encode(lead.passed_to(heir))
    if store.compare_set(layout.round, value, new) != new:
        return False
    retire(store, layout, [lead.leader])
    if heir != leads.NOBODY:
        store.set(layout.wake(heir), "1")
    return True


def drain(store: Store, keys: wire.Keys, asked: wire.Drain) -> None:
    """Ask a pod to leave in good order."""
    write(store, Layout(keys), {names_of.drain(asked.uid): wire.encode(asked)})


def tell_site(store: Store, keys: wire.Keys, site: wire.Site) -> None:
    """Say where a node stands."""
    write(store, Layout(keys), {names_of.site(site.node): wire.encode(site)})


def read_round(store: Store, keys: wire.Keys) -> bytes | None:
    """Read the round record's document; None when there is none."""
    layout = Layout(keys)
    value = peek(store, layout.round)
    return value and round_document(layout, value)
