"""Where etcd is, and how to trust it and be trusted."""

from __future__ import annotations

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

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.authority}"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. They are read at each new connection, so renewed certificates are picked up.

    Attributes:
        ca: authorities the server's certificate may come from; None: those of the system.
        cert, key: what this client shows of itself; both or none.
    """

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None

    def context(self) -> ssl.SSLContext:
        """Raises ValueError that names the file which is missing or no PEM."""
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
