"""The members of a job's own etcd, as it lists them itself, and how one is replaced by another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rdzv_client.etcdv3 import answers, fields, messages, requests

_LIST: Final = "/v3/cluster/member/list"
_REMOVE: Final = "/v3/cluster/member/remove"
_ADD: Final = "/v3/cluster/member/add"


@dataclass(frozen=True)
class StoreMember:
    """One member.

    Attributes:
        peer_urls: Where the others reach it.
        started: Whether it has ever come; one that was added has yet to.
    """

    id: int
    peer_urls: tuple[str, ...]
    started: bool


Members = tuple[StoreMember, ...]


def listing() -> requests.Request[Members]:
    """Ask who the members are, and have a quorum agree on it."""
    body = requests.dump({"linearizable": True})
    return requests.Request(_LIST, body, _members, repeatable=True)


def removal(member: StoreMember) -> requests.Request[None]:
    """Take the member out for good: it cannot come back."""
    body = requests.dump({"ID": str(member.id)})
    return requests.Request(_REMOVE, body, answers.nothing, repeatable=False)


def addition(peer_url: str) -> requests.Request[None]:
    """Expect a new member there."""
    body = requests.dump({"peerURLs": [peer_url]})
    return requests.Request(_ADD, body, answers.nothing, repeatable=False)


def at(peer_url: str, members: Members) -> StoreMember | None:
    """Return the member that the others reach there."""
    return next((member for member in members if peer_url in member.peer_urls), None)


def _members(body: messages.Document) -> Members:
    answers.header(body)
    return tuple(_member(item) for item in fields.children(body, "members"))


def _member(body: messages.Document) -> StoreMember:
    peer_urls = tuple(str(url) for url in fields.array(body, "peerURLs"))
    started = bool(fields.array(body, "clientURLs"))
    return StoreMember(fields.integer(body, "ID"), peer_urls, started)
