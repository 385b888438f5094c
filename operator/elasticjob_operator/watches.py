"""When each of kopf's watches was last heard.

kopf opens a watch anew when it heard nothing for a while, and the API server sends a bookmark
every minute when there is no news. So a watch on which nothing comes, and of which nobody says
that the API server could not be reached, is stuck. kopf tells nobody about this: it is seen on
the connection itself.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from time import monotonic
from types import SimpleNamespace
from typing import Any

import aiohttp
import yarl

from elasticjob_operator import metrics

Clock = Callable[[], float]


class Watches:
    """What is heard on the watches of some resources.

    Args:
        resources: Their names, in the plural.
        clock: Seconds that only grow.
    """

    def __init__(self, resources: Iterable[str], clock: Clock = monotonic) -> None:
        self._clock = clock
        self._heard = dict.fromkeys(resources, clock())
        self._excused = dict(self._heard)
        self._unopened = set(self._heard)

    def open(self, resource: str) -> None:
        """A watch was opened; what is there was listed before."""
        self._unopened.discard(resource)

    def hear(self, resource: str) -> None:
        """Something came, be it a bookmark."""
        if resource in self._heard:
            self._heard[resource] = self._clock()

    def excuse(self, resource: str) -> None:
        """The API server could not be reached, or was not willing: no fault of the watch."""
        if resource in self._excused:
            self._excused[resource] = self._clock()

    @property
    def unopened(self) -> list[str]:
        """Of which resources it is not known yet what is there."""
        return sorted(self._unopened)

    def silence_s(self) -> dict[str, float]:
        """Return for how long nothing was heard."""
        now = self._clock()
        return {resource: now - at for resource, at in self._heard.items()}

    def stuck(self, limit_s: float) -> dict[str, float]:
        """Return the watches that are silent for longer, for how long, and without excuse."""
        now = self._clock()
        return {
            resource: now - at
            for resource, at in self._heard.items()
            if now - max(at, self._excused[resource]) > limit_s
        }

    def session(
        self, *, headers: dict[str, str], tls: ssl.SSLContext, proxy: str | None, trust_env: bool
    ) -> aiohttp.ClientSession:
        """Return a session for kopf on which every call is counted and every watch heard."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
            headers=headers,
            response_class=_response(self),
            trace_configs=[_tracing(self)],
            proxy=proxy,
            trust_env=trust_env,
        )


def _response(watches: Watches) -> type[aiohttp.ClientResponse]:
    class Response(aiohttp.ClientResponse):
        """Tells of what comes on it, if it is that of a watch."""

        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            started = await super().start(connection)
            if _is_watch(self.url):
                resource = metrics.resource(self.url.path)
                if self.status == 200:
                    watches.open(resource)
                else:
                    watches.excuse(resource)
                self.content: Any = _Heard(self.content, lambda: watches.hear(resource))
            return started

    return Response


class _Heard:
    """A stream that says when something came."""

    def __init__(self, stream: aiohttp.StreamReader, heard: Callable[[], None]) -> None:
        self._stream = stream
        self._heard = heard

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        async for chunk in self._stream.iter_chunked(size):
            self._heard()
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _tracing(watches: Watches) -> aiohttp.TraceConfig:
    """Return what aiohttp calls at the begin and the end of every call."""

    async def begin(_: Any, call: SimpleNamespace, __: aiohttp.TraceRequestStartParams) -> None:
        call.began = monotonic()

    async def end(_: Any, call: SimpleNamespace, told: aiohttp.TraceRequestEndParams) -> None:
        verb = "WATCH" if _is_watch(told.url) else told.method
        code = str(told.response.status)
        metrics.count_call(verb, told.url.path, code, monotonic() - call.began)

    async def fail(
        _: Any, call: SimpleNamespace, told: aiohttp.TraceRequestExceptionParams
    ) -> None:
        verb = "WATCH" if _is_watch(told.url) else told.method
        metrics.count_call(verb, told.url.path, "none", monotonic() - call.began)
        if isinstance(told.exception, aiohttp.ClientError):
            watches.excuse(metrics.resource(told.url.path))

    config = aiohttp.TraceConfig()
    config.on_request_start.append(begin)
    config.on_request_end.append(end)
    config.on_request_exception.append(fail)
    return config


def _is_watch(url: yarl.URL) -> bool:
    return url.query.get("watch") == "true"
