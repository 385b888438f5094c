"""What the operator answers over HTTP: probes on one port, metrics on another."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from aiohttp import web

from elasticjob_operator import metrics
from elasticjob_operator.health import Verdict

Answer = Callable[[], web.Response]


def probes(health: Verdict) -> dict[str, Answer]:
    """Return the answers to the kubelet: 200, or 503 with the reasons, one a line."""
    live, ready = (lambda: _verdict(health.stuck())), (lambda: _verdict(health.unready()))
    return {"/healthz": live, "/livez": live, "/readyz": ready}


def scrapes() -> dict[str, Answer]:
    """Return the answer to Prometheus."""

    def answer() -> web.Response:
        return web.Response(body=metrics.page(), headers={"Content-Type": metrics.CONTENT_TYPE})

    return {"/metrics": answer}


@contextlib.asynccontextmanager
async def served(port: int, answers: Mapping[str, Answer]) -> AsyncIterator[None]:
    """Within this, answer on the port of every address; nowhere when it is 0.

    Raises:
        OSError: the port cannot be had.
    """
    if not port:
        yield
        return
    app = web.Application()
    app.add_routes([web.get(path, _handler(answer)) for path, answer in answers.items()])
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, None, port).start()
        yield
    finally:
        await runner.cleanup()


def _handler(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return answer()

    return handle


def _verdict(problems: list[str]) -> web.Response:
    return web.Response(status=503 if problems else 200, text="\n".join(problems or ["ok"]) + "\n")
