"""A run in a TCPStore, by the bridge of its host (:mod:`rdzv_client.backends.c10d.bridge`)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from elasticjob_operator import testimony
from elasticjob_operator.mirror import Mirror, formed_round
from elasticjob_operator.observed import FormedRound
from elasticjob_operator.stores import C10dHost, StoreError
from elasticjob_operator.stores.gateway import REQUEST_TIMEOUT_S, lines, words_of
from rdzv_client import wire
from rdzv_client.etcdv3 import messages

SILENCE_S: Final = 15.0
"""The bridge says something three times as often."""
DOCUMENTS_PER_REQUEST: Final = 100
SENTENCE_BYTES: Final = 1024


class HostedStore:
    """One run (implements :class:`elasticjob_operator.stores.Store`).

    Args:
        session: What requests are made with.
        where: The bridge.
        keys: The run's keys.
        since: The round up to which the run is recorded.
    """

    def __init__(
        self, session: aiohttp.ClientSession, where: C10dHost, keys: wire.Keys, since: int
    ) -> None:
        self._session, self._where, self._keys, self._since = session, where, keys, since
        self._path = f"/v1/runs/{quote(keys.run_id, safe='')}"

    async def listen(self, mirror: Mirror) -> AsyncIterator[None]:
        """List all, then follow every change."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=REQUEST_TIMEOUT_S, sock_read=SILENCE_S
        )
        path = f"{self._path}/feed?after={self._since}"
        listed = False
        async with self._request("GET", path, None, timeout) as response:
            async for line in _told(self._where.url, response):
                if not listed:
                    mirror.reset(_records(line), 0, _now())
                    mirror.insert_past(_past(line, self._keys))
                    listed = True
                elif line:
                    mirror.update(_events(line), 0, _now())
                else:
                    continue  # nothing has happened
                yield

    async def write(self, documents: Mapping[str, bytes], removed: Sequence[str] = ()) -> None:  # noqa: ARG002
        """Write the documents; the run's leader takes out itself whose pods are gone."""
        timeout = aiohttp.ClientTimeout(total=2 * REQUEST_TIMEOUT_S)
        entries = iter(documents.items())
        while part := dict(itertools.islice(entries, DOCUMENTS_PER_REQUEST)):
            body = json.dumps({key: document.decode() for key, document in part.items()})
            async with self._request("POST", self._path, body, timeout):
                pass

    async def empty(self) -> None:
        """Do nothing: what is in a TCPStore goes with its host."""

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, path: str, body: str | None, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self._where.url
        headers = {"Authorization": f"Bearer {self._where.token}"}
        try:
            response = await self._session.request(
                method, url + path, data=body, headers=headers, timeout=timeout
            )
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise StoreError(f"{url}: {words_of(error)}") from error
        async with response:
            if response.status != 200:
                said = await response.content.read(SENTENCE_BYTES)
                sentence = said.decode(errors="replace").strip()
                raise StoreError(f"{url} refuses ({response.status}): {sentence}")
            yield response


async def _told(url: str, response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    try:
        async for line in lines(response):
            yield _line(url, line)
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        raise StoreError(f"{url}: the feed was cut: {words_of(error)}") from error
    raise StoreError(f"{url}: the feed ended")


def _line(url: str, text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
        if isinstance(line, dict) and all(map(_is_documents, _parts(line))):
            return line
    except (ValueError, RecursionError):
        pass
    raise StoreError(f"{url}: this is no line of a feed: {text[:80]!r}")


def _parts(line: dict[str, Any]) -> list[Any]:
    past = line.get("past", [])
    return [line.get("documents", {}), *(past if isinstance(past, list) else [None])]


def _is_documents(part: Any) -> bool:
    return isinstance(part, dict) and all(
        value is None or isinstance(value, str) for value in part.values()
    )


def _records(line: dict[str, Any]) -> list[messages.KeyValue]:
    return [
        messages.KeyValue(key, (value or "").encode()) for key, value in line["documents"].items()
    ]


def _events(line: dict[str, Any]) -> list[messages.Event]:
    return [
        messages.Event("delete", messages.KeyValue(key))
        if value is None
        else messages.Event("put", messages.KeyValue(key, value.encode()))
        for key, value in line.get("documents", {}).items()
    ]


def _past(line: dict[str, Any], keys: wire.Keys) -> list[FormedRound]:
    found = (_formed(documents, keys) for documents in line.get("past", []))
    return [formed for formed in found if formed]


def _formed(documents: dict[str, str], keys: wire.Keys) -> FormedRound | None:
    texts = {key: text.encode() for key, text in documents.items() if text is not None}
    try:
        round_ = testimony.read(wire.Round, keys.round, texts.pop(keys.round, b""))
        ranks = [testimony.read(wire.Rank, key, value) for key, value in texts.items()]
    except wire.WireError:
        return None
    return formed_round(round_, ranks, _now(), 0)


def _now() -> datetime:
    return datetime.now(timezone.utc)
