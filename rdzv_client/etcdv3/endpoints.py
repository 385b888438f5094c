"""Where etcd is, and how to trust it and be trusted."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_DEFAULT_PORT = 2379


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One member's client address."""

    host: str
    port: int
    secure: bool

    @property
    def authority(self) -> str:
        """Host and port as a URL writes them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def family(self) -> socket.AddressFamily | None:
        """Of the host if that is an address; None: it is a name."""
        return _family(self.host)

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.authority}"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. Each new connection looks whether they have changed, and then reads them again.

    Attributes:
        ca: authorities the server's certificate may come from; None: those of the system.
        cert, key: what this client shows of itself; both or none.
    """

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None

    def context(self) -> ssl.SSLContext:
        """What connections are secured by; to read the files costs as much as a handshake.

        Raises:
            ValueError: naming the file which is missing or no PEM.
        """
        stamps = tuple(path and _stamp(path) for path in (self.ca, self.cert, self.key))
        return _context(self, stamps)

    def read(self) -> ssl.SSLContext:
        """The same, from the files as they are now."""
        if (self.cert is None) != (self.key is None):
            raise ValueError("a client certificate needs both its files: cert and key")
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise ValueError(f"cannot use the CA file {self.ca}: {error}") from error
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key)
            except OSError as error:
                pair = f"{self.cert} with key {self.key}"
                raise ValueError(f"cannot use the certificate {pair}: {error}") from error
        context.set_alpn_protocols(["http/1.1"])
        return context


@functools.lru_cache(maxsize=8)
def _context(files: TlsFiles, _stamps: tuple[object, ...]) -> ssl.SSLContext:
    return files.read()


def _stamp(path: str | Path) -> tuple[int, ...] | None:
    """What differs when a file was replaced or written anew; None: it cannot be read."""
    try:
        now = Path(path).stat()
    except OSError:
        return None
    return now.st_ino, now.st_mtime_ns, now.st_size


@functools.cache
def _family(host: str) -> socket.AddressFamily | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return family
    return None


def parse(texts: Sequence[str]) -> tuple[Endpoint, ...]:
    """Endpoints from URLs such as ``http://host:2379`` or ``https://[::1]:2379``.

    Raises:
        ValueError: naming the text and what is allowed.
    """
    if isinstance(texts, str) or not texts:
        raise ValueError(f"expected a list of at least one etcd endpoint, got {texts!r}")
    return tuple(dict.fromkeys(_endpoint(text) for text in texts))


def _endpoint(text: str) -> Endpoint:
    expected = "expected http://HOST:PORT or https://HOST:PORT"
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ValueError(f"etcd endpoint {text!r}: {error}; {expected}") from error
    if url.scheme not in ("http", "https") or not host:
        raise ValueError(f"etcd endpoint {text!r}: {expected}")
    if url.username is not None or url.password is not None:
        raise ValueError(f"etcd endpoint for {host}: user and password do not belong in the URL")
    if url.path not in ("", "/") or url.query or url.fragment or not _is_plain(host):
        raise ValueError(f"etcd endpoint {text!r}: {expected}, and nothing else")
    if port == 0:
        raise ValueError(f"etcd endpoint {text!r}: port 0 cannot be connected to")
    return Endpoint(host, port or _DEFAULT_PORT, secure=url.scheme == "https")


def _is_plain(host: str) -> bool:
    return host.isascii() and host.isprintable() and not set(host) & set(' \\"<>^`{|},')
