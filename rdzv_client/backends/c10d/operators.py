"""What an operator writes into a run, and reads of it, over a connection of its own."""

from __future__ import annotations

from rdzv_client import wire
from rdzv_client.backends.c10d import layout as names_of
from rdzv_client.backends.c10d.backend import round_document
from rdzv_client.backends.c10d.layout import Layout, Store, peek, write


def write_settings(store: Store, keys: wire.Keys, settings: wire.Settings) -> None:
    """Write what the operator wants of the run; before the first member comes, to seed it."""
    write(store, Layout(keys), {names_of.SETTINGS: wire.encode(settings)})


def declare_gone(store: Store, keys: wire.Keys, gone: wire.Gone) -> None:
    """Say that a pod will never come back; its members are out at once."""
    write(store, Layout(keys), {names_of.gone(gone.uid): wire.encode(gone)})


def drain(store: Store, keys: wire.Keys, asked: wire.Drain) -> None:
    """Ask a pod to leave in good order."""
    write(store, Layout(keys), {names_of.drain(asked.uid): wire.encode(asked)})


def read_round(store: Store, keys: wire.Keys) -> bytes | None:
    """Read the round record's document; None when there is none."""
    layout = Layout(keys)
    value = peek(store, layout.round)
    return value and round_document(layout, value)
