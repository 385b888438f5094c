"""An etcd server of one's own, for one node or for tests."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import socket
import subprocess as processes
import tempfile
import time
from pathlib import Path
from typing import TextIO

from rdzv_client import etcdv3

__all__ = ["EtcdServer", "find_free_port", "stop_etcd"]

log = logging.getLogger(__name__)

_BINARY_VARIABLE = "TORCHELASTIC_ETCD_BINARY_PATH"
_TERMINATION_S = 10.0
_RECHECK_S = 0.02


def find_free_port() -> socket.socket:
    """Return a listening socket on a free port of this host's loopback interface.

    Close it before the port is given to another program; until then nobody else gets it.

    Raises:
        RuntimeError: no socket can be made.
    """
    failures = []
    for family, *_ in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM):
        with contextlib.ExitStack() as stack:
            try:
                sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                sock.bind(("localhost", 0))
                sock.listen(0)
            except OSError as error:
                failures.append(str(error))
                continue
            stack.pop_all()
            return sock
    raise RuntimeError(f"Failed to create a socket on localhost: {'; '.join(failures)}")


def stop_etcd(
    subprocess: processes.Popen[bytes] | None, data_dir: str | os.PathLike[str] | None = None
) -> None:
    """End an etcd process, by force if it does not within 10 s, and delete its data.

    Args:
        subprocess: The process; None or one that has ended is fine.
        data_dir: The folder to delete; None: none.
    """
    if subprocess is not None and subprocess.poll() is None:
        subprocess.terminate()
        try:
            subprocess.wait(_TERMINATION_S)
        except processes.TimeoutExpired:
            subprocess.kill()
            subprocess.wait()
    if data_dir is not None:
        shutil.rmtree(data_dir, ignore_errors=True)


class EtcdServer:
    """A single etcd on a free port of localhost, ended with this process at the latest.

    It works with etcd 3.4 to 3.7. The program is the one that ``TORCHELASTIC_ETCD_BINARY_PATH``
    names, else ``bin/etcd`` beside this module, else ``etcd`` from ``PATH``.

    One server is one point of failure: give a run of several nodes an etcd of several members.

    Args:
        data_dir: Where the data is kept, and found again at the next start; it is never deleted.
            None: in a temporary folder, which is deleted at the stop.
    """

    def __init__(self, data_dir: str | None = None) -> None:
        self._data_dir = data_dir
        self._temporary: str | None = None
        self._process: processes.Popen[bytes] | None = None
        self._host, self._port = "localhost", -1

    def get_host(self) -> str:
        """Return ``localhost``."""
        return self._host

    def get_port(self) -> int:
        """Return the port for clients; -1 before the start."""
        return self._port

    def get_endpoint(self) -> str:
        """Return ``HOST:PORT``."""
        return f"{self._host}:{self._port}"

    def get_client(self) -> etcdv3.Client:
        """Return a new client of the server, to be closed by who asked for it.

        Raises:
            RuntimeError: the server was not started.
        """
        if self._port < 0:
            raise RuntimeError("this EtcdServer has not been started: call start() first")
        return etcdv3.Client([f"http://{self.get_endpoint()}"], request_timeout_s=10.0)

    def start(
        self, timeout: float = 60, num_retries: int = 3, stderr: int | TextIO | None = None
    ) -> None:
        """Start the server, and return when it takes requests. A started one is left as it is.

        Args:
            timeout: How long each attempt may take, in seconds.
            num_retries: How many attempts, each on other ports; at least 1.
            stderr: Where etcd's log goes, as :class:`subprocess.Popen` takes it; None: to where
                this process's goes. For every watch that ends etcd writes ``Failed to notify error
                to client`` there, whatever its log level: it means no more than that.

        Raises:
            FileNotFoundError: there is no etcd program.
            TimeoutError: the last attempt was not ready in time.
            RuntimeError: the process of the last attempt ended, or could not be started.
            After any of them neither a process nor a temporary folder is left.
        """
        if num_retries < 1:
            raise ValueError(f"num_retries: expected at least 1, got {num_retries}")
        if self._process is not None and self._process.poll() is None:
            return
        self.stop()
        program = _find_program()
        atexit.register(self.stop)
        for attempt in range(1, num_retries + 1):
            try:
                self._start(program, timeout, stderr)
            except (OSError, RuntimeError) as error:
                self.stop()
                if attempt == num_retries:
                    raise
                log.warning("etcd did not start (%s); trying again on other ports.", error)
            except BaseException:
                self.stop()
                raise
            else:
                return

    def stop(self) -> None:
        """Stop the server and delete its temporary folder; one that does not run is no error."""
        stop_etcd(self._process, self._temporary)
        self._process = self._temporary = None
        self._port = -1
        atexit.unregister(self.stop)

    def _start(self, program: str, timeout_s: float, stderr: int | TextIO | None) -> None:
        folder = self._data_dir
        if folder is None:
            folder = self._temporary = tempfile.mkdtemp(prefix="etcd-")
        client_url, peer_url = self._reserve_urls()
        command = [
            program,
            "--name=default",
            f"--data-dir={folder}",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
        ]
        log.info("Starting %s", " ".join(command))
        self._process = processes.Popen(command, stderr=stderr)
        self._wait_until_ready(self._process, time.monotonic() + timeout_s)

    def _reserve_urls(self) -> tuple[str, str]:
        """URLs for clients and for peers; another program may yet be faster: hence the retries."""
        with find_free_port() as clients, find_free_port() as peers:
            self._port = clients.getsockname()[1]
            return _url(clients), _url(peers)

    def _wait_until_ready(self, process: processes.Popen[bytes], deadline_s: float) -> None:
        with self.get_client() as client:
            while True:
                try:
                    if client.status().leader:
                        return
                except etcdv3.EtcdError as error:
                    if process.poll() is not None:
                        raise RuntimeError(
                            f"etcd ended with exit code {process.returncode} while it was starting"
                        ) from error
                    if time.monotonic() >= deadline_s:
                        raise TimeoutError(f"etcd does not become ready: {error}") from error
                time.sleep(_RECHECK_S)  # a process that is starting offers nothing to wait on


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _find_program() -> str:
    """The etcd program's path; raises FileNotFoundError that says where it was looked for."""
    named, beside = os.environ.get(_BINARY_VARIABLE, ""), Path(__file__).parent / "bin" / "etcd"
    for path in (named, str(beside), "etcd"):
        if path and (found := shutil.which(path)):
            if named and path != named:
                log.warning("%s=%s is no program; using %s.", _BINARY_VARIABLE, named, found)
            return found
    raise FileNotFoundError(
        f"there is no etcd program: {_BINARY_VARIABLE} is {named or 'not set'}, there is no "
        f"{beside}, and no etcd in PATH. Install etcd 3.4 or newer (on Debian: apt-get install "
        f"etcd-server), or set {_BINARY_VARIABLE} to the program"
    )
