"""A proxy before the real API server, which answers late, refuses, cuts calls, or is not there.

It ends the operator's TLS and speaks to the server under the operator's own name, so that single
calls can be refused as a busy server refuses them.
"""

import asyncio
import contextlib
import ssl
import threading
from collections import Counter

import aiohttp
from aiohttp import web
from etcd_server import free_ports

from benchmarks.scale import audit

NO_LIMIT = aiohttp.ClientTimeout(total=None)
REASONS = {409: "Conflict", 429: "TooManyRequests", 503: "ServiceUnavailable"}


class Interference:
    """The proxy; the attributes may be changed at any moment.

    Attributes:
        delay_s: How long every call waits before it is passed on.
        refuse: Called with the method and the path; a status by which the call is refused, or None.
        refused: How often each status was given.
    """

    def __init__(self, plane):
        (self.port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{self.port}"
        self.delay_s = 0.0
        self.refuse = lambda method, path: None
        self.refused = Counter()
        self._plane, self._open = plane, set()
        self._is_away = False
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    # --- what a test does ---

    def cut(self):
        """Cut every call that is under way, watches among them."""
        self._do(self._cut)

    @contextlib.contextmanager
    def away(self):
        """Within this, there is no API server."""
        self._is_away = True
        self.cut()
        yield
        self._is_away = False

    # --- how it does it ---

    def __enter__(self):
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _do(self, action):
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (action(), done.set()))
        assert done.wait(10)

    def _run(self):
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve())

    async def _serve(self):
        self._stop = asyncio.Event()
        authority = self._plane.authority
        pair = authority.issue("proxy", audit.USER, groups=["system:masters"], hosts=["127.0.0.1"])
        ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        theirs = ssl.create_default_context(cafile=authority.ca.certificate)
        for context in (ours, theirs):
            context.load_cert_chain(pair.certificate, pair.key)
        connector = aiohttp.TCPConnector(limit=0, ssl=theirs)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as upstream:
            self._upstream = upstream
            app = web.Application(client_max_size=2**24)
            app.router.add_route("*", "/{path:.*}", self._pass)
            runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=ours).start()
            self._listening.set()
            await self._stop.wait()
            self._cut()
            await runner.cleanup()

    def _cut(self):
        for transport in list(self._open):
            transport.abort()

    async def _pass(self, request):
        transport = request.transport
        self._open.add(transport)
        try:
            await asyncio.sleep(self.delay_s)
            if self._is_away:
                transport.abort()
                raise web.HTTPServiceUnavailable
            if status := self.refuse(request.method, request.path):
                return self._refusal(status)
            return await self._forward(request)
        finally:
            self._open.discard(transport)

    def _refusal(self, status):
        self.refused[status] += 1
        document = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status}
        document |= {"reason": REASONS[status], "message": "refused by the test"}
        headers = {"Retry-After": "1"} if status == 429 else {}
        return web.json_response(document, status=status, headers=headers)

    async def _forward(self, request):
        skipped = {"host", "content-length", "transfer-encoding", "connection"}
        headers = {k: v for k, v in request.headers.items() if k.lower() not in skipped}
        url, body = self._plane.url + request.path_qs, await request.read()
        async with self._upstream.request(
            request.method, url, headers=headers, data=body or None, timeout=NO_LIMIT
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in skipped}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response
