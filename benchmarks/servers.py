"""The stores' servers, each in a process of its own, and a proxy that counts what flows."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import multiprocessing
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.comparison import NotMeasured
from benchmarks.crowd import processor_s
from tests import debian
from tests.etcd_server import Etcd, free_ports

HOST: Final = "127.0.0.1"

# As an operator would run it, and not as the tests do: it syncs to disk, and elects at leisure.
_USUAL: Final = (
    "--unsafe-no-fsync=false",
    "--heartbeat-interval=100",
    "--election-timeout=1000",
)


@dataclass(frozen=True)
class Server:
    """A server that runs: where it listens, its process, and how it is killed and started again."""

    port: int
    pid: int
    restart: Callable[[], None]

    def cpu_s(self) -> float:
        """How much processor time it has used so far, in seconds."""
        return processor_s(self.pid)


@contextlib.contextmanager
def etcd() -> Iterator[Server]:
    """Run the project's etcd, empty."""
    with tempfile.TemporaryDirectory() as folder:
        server: Any = Etcd(Path(folder), flags=_USUAL)
        try:
            server.start()
            yield Server(server.port, server._process.pid, server.restart)  # noqa: SLF001
        finally:
            server.kill()


def etcd_v2_program() -> Path:
    """An etcd that still speaks the v2 API: Debian's.

    Raises:
        NotMeasured: there is none.
    """
    if not debian.has_packages():
        raise NotMeasured("no etcd with the v2 API here: it is taken from Debian's etcd-server")
    try:
        program: Path = debian.fetch("etcd-server", "etcd")
    except subprocess.CalledProcessError as error:
        raise NotMeasured(f"Debian's etcd cannot be fetched: {error}") from None
    return program


@contextlib.contextmanager
def etcd_v2() -> Iterator[Server]:
    """Run an etcd with the v2 API, empty."""
    with tempfile.TemporaryDirectory() as folder:
        client, peer = free_ports(2)
        urls = f"http://{HOST}:{client}", f"http://{HOST}:{peer}"
        command = [
            str(etcd_v2_program()),
            "--enable-v2",
            f"--data-dir={folder}/data",
            f"--listen-client-urls={urls[0]}",
            f"--advertise-client-urls={urls[0]}",
            f"--listen-peer-urls={urls[1]}",
            f"--initial-advertise-peer-urls={urls[1]}",
            f"--initial-cluster=default={urls[1]}",
            "--log-level=error",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _await_port(client)
            yield Server(client, process.pid, _is_not_restarted)
        finally:
            process.kill()
            process.wait()


def _is_not_restarted() -> None:
    raise NotMeasured("this server is not restarted here")


def _await_port(port: int) -> None:
    ends_at = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        if time.monotonic() > ends_at:
            raise NotMeasured(f"nothing listens at port {port}")
        time.sleep(0.05)  # a process that is starting offers nothing to wait on


@contextlib.contextmanager
def tcp_store() -> Iterator[Server]:
    """Run torch's TCPStore."""
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        pid, port = first.enter_context(_forked(_host_store))

        def restart() -> None:
            first.close()
            stack.enter_context(_forked(functools.partial(_host_store, port=port)))

        yield Server(port, pid, restart)


def _host_store(tell: Callable[[Any], None], port: int = 0) -> None:
    from torch.distributed import TCPStore  # noqa: PLC0415

    store = TCPStore(HOST, port, is_master=True, wait_for_workers=False)
    tell(store.port)
    while store:
        signal.pause()


# --- counting -----------------------------------------------------------------------------------


class Counter:
    """How many bytes have passed, from and to the participants."""

    def __init__(self) -> None:
        self._bytes: Any = multiprocessing.RawArray(ctypes.c_uint64, 2)

    def add(self, direction: int, count: int) -> None:
        """Count; there is one process that does."""
        self._bytes[direction] += count

    @property
    def total(self) -> int:
        return sum(self._bytes)


@contextlib.contextmanager
def counted(server: Server) -> Iterator[tuple[Server, Counter]]:
    """Put a proxy before a server: all TCP payload, both ways, is counted."""
    counter = Counter()

    def relay(tell: Callable[[Any], None]) -> None:
        asyncio.run(_relay(server.port, counter, tell))

    with _forked(relay) as (_, port):
        yield Server(port, server.pid, server.restart), counter


async def _relay(port: int, counter: Counter, tell: Callable[[Any], None]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, thither = await asyncio.open_connection(HOST, port)
        await asyncio.gather(_pump(reader, thither, counter, 0), _pump(there, writer, counter, 1))

    server = await asyncio.start_server(serve, HOST, 0, backlog=2048)
    tell(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counter: Counter, direction: int
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            counter.add(direction, len(data))
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.contextmanager
def _forked(serve: Callable[[Callable[[Any], None]], None]) -> Iterator[tuple[int, int]]:
    """Run a server in a forked process; yields its pid, and the port it tells."""
    here, there = multiprocessing.Pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent ends it
        try:
            serve(there.send)
        finally:
            os._exit(1)
    there.close()
    try:
        yield pid, here.recv()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        here.close()
