"""etcd's HTTP gateway over aiohttp; what is said there is ``rdzv_client.etcdv3``'s."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, TypeVar

import aiohttp

from elasticjob_operator.stores import StoreError
from elasticjob_operator.stores.access import NOTHING, Access
from rdzv_client.etcdv3 import answers, errors, messages, requests

T = TypeVar("T")

REQUEST_TIMEOUT_S: Final = 5.0
MESSAGE_BYTES: Final = 64 * 1024 * 1024
NO_ENDPOINT: Final = "no endpoint is known"


class Gateway:
    """One etcd, at one or several endpoints."""

    def __init__(
        self, session: aiohttp.ClientSession, urls: Sequence[str], access: Access = NOTHING
    ) -> None:
        self.urls = tuple(urls)
        self._session, self._access = session, access
        self._tls: ssl.SSLContext | None = None
        self._token = ""

    async def call(self, request: requests.Request[T]) -> T:
        """Ask one endpoint after the other until one answers.

        Raises:
            StoreError: none did, or the answer is a refusal.
        """
        try:
            await self._log_in()
            try:
                return await self._ask(request)
            except errors.TokenInvalid:  # nothing was done
                self._token = ""
                await self._log_in()
                return await self._ask(request)
        except errors.EtcdError as error:
            raise StoreError(str(error)) from error

    async def _log_in(self) -> None:
        if not self._access.user or self._token:
            return
        asked = requests.authenticate_request(self._access.user, self._access.password)
        try:
            self._token = await self._ask(asked)
        except errors.RequestRefused as error:
            if "authentication is not enabled" not in error.reason:
                raise

    async def _ask(self, request: requests.Request[T]) -> T:
        problem = NO_ENDPOINT
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        for url in self.urls:
            try:
                async with await self._post(url + request.path, request.body, timeout) as response:
                    return request.answer(response.status, await _body(response))
            except errors.ServerUnavailable as error:
                problem = str(error)
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
                problem = f"{url}: {words_of(error)}"
        raise StoreError(problem)

    @contextlib.asynccontextmanager
    async def watch(self, body: bytes) -> AsyncIterator[AsyncIterator[messages.WatchBatch]]:
        """Open a watch on the first endpoint that gives one; it ends by an error alone.

        Raises:
            StoreError: no endpoint gives one, or it was cut.
        """
        problem = NO_ENDPOINT
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_TIMEOUT_S)
        for url in self.urls:
            try:
                response = await self._post(url + requests.WATCH_PATH, body, timeout)
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
                problem = f"{url}: {words_of(error)}"
                continue
            async with response:
                if response.status != 200:
                    raise StoreError(str(answers.unexpected_status(response.status, b"")))
                yield _batches(response)
            return
        raise StoreError(problem)

    async def _post(
        self, url: str, body: bytes, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        if self._tls is None and url.startswith("https:"):
            try:
                self._tls = self._access.context()
            except ValueError as error:
                raise StoreError(str(error)) from None
        return await self._session.post(
            url,
            data=body,
            timeout=timeout,
            headers={"Authorization": self._token} if self._token else None,
            ssl=self._tls or True,
            server_hostname=self._access.host or None,
            allow_redirects=False,
        )


def session() -> aiohttp.ClientSession:
    """Return a session for any number of stores; close it when done."""
    connector = aiohttp.TCPConnector(limit=0, socket_factory=_socket)
    # No store compresses what it says, and a little that is compressed may be very much.
    return aiohttp.ClientSession(connector=connector, auto_decompress=False)


def _socket(address: Any) -> socket.socket:
    """Return a socket on which the kernel notices within 11 s that the other side is gone."""
    family, kind, protocol, _, _ = address
    connection = socket.socket(family, kind, protocol)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection


async def _batches(response: aiohttp.ClientResponse) -> AsyncIterator[messages.WatchBatch]:
    try:
        async for line in lines(response):
            yield answers.watch_batch(line)
    except errors.EtcdError as error:
        raise StoreError(str(error)) from error
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        raise StoreError(f"the watch was cut: {words_of(error)}") from error
    raise StoreError("the watch ended")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Read a body whole; an etcd may be anybody's, and what is in it a worker's."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MESSAGE_BYTES:
            raise StoreError(f"an answer of more than {MESSAGE_BYTES} bytes")
    return bytes(body)


async def lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the lines of a body as they come, each without its end."""
    buffer = b""
    async for chunk in response.content.iter_any():
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(buffer) > MESSAGE_BYTES:
            raise StoreError(f"a watch message of more than {MESSAGE_BYTES} bytes")


def words_of(error: BaseException) -> str:
    """Return what an error says of itself, its name if nothing."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.strerror or error.os_error}"
    return str(error) or type(error).__name__
