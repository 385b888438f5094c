"""What it takes to be let in at a store."""

from __future__ import annotations

import functools
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from elasticjob_operator import rendezvous_spec


@dataclass(frozen=True)
class Access:
    """Certificates (PEM) and a user; what is empty is not shown. Equal while nothing has changed.

    Attributes:
        authority: Whom the store's certificate must come from; those the system trusts when empty.
        certificate: What is shown to the store.
        key: The certificate's.
        host: The name that the store's certificate must have; that of the URL when empty.
        user: Of etcd's own authentication.
        password: The user's.
        token: Of the host of a TCPStore.
    """

    authority: str = ""
    certificate: str = ""
    key: str = field(default="", repr=False)
    host: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def context(self) -> ssl.SSLContext:
        """Return what TLS needs of this.

        Raises:
            ValueError: it is no PEM, or key and certificate do not belong together.
        """
        return _context(self.authority, self.certificate, self.key)


NOTHING: Final = Access()
"""For an etcd that asks for nothing, and whose certificate, if any, the system trusts."""


def from_secret(content: Mapping[str, str], *, secure: bool) -> Access:
    """Return what is in a Secret of the user's, by its keys; others do not count.

    Args:
        content: Its decoded values.
        secure: Whether the store is reached by TLS.

    Raises:
        ValueError: it is of no use; the text says why, and no value.
    """
    given = {key: content[key] for key in rendezvous_spec.SECRET_KEYS if content.get(key)}
    if not given:
        raise ValueError(f"has none of the keys {', '.join(rendezvous_spec.SECRET_KEYS)}")
    for one, other in (("tls.crt", "tls.key"), ("username", "password")):
        if (one in given) != (other in given):
            there, missing = (one, other) if one in given else (other, one)
            raise ValueError(f"has {there} and no {missing}: they belong together")
    if not secure and (useless := sorted(set(given) & {"ca.crt", "tls.crt"})):
        raise ValueError(f"has {useless[0]}, which is of use with https:// endpoints alone")
    found = Access(
        given.get("ca.crt", ""),
        given.get("tls.crt", ""),
        given.get("tls.key", ""),
        user=given.get("username", "").strip(),
        password=given.get("password", "").rstrip("\r\n"),
    )
    if secure:
        try:
            found.context()
        except ValueError as error:
            raise ValueError(f"is of no use: {error}") from None
    return found


@functools.lru_cache(maxsize=256)  # with the system's authorities each takes almost 1 MB
def _context(authority: str, certificate: str, key: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=authority or None)
    except (ssl.SSLError, ValueError, TypeError) as error:
        raise ValueError(f"the authority's certificate cannot be used: {error}") from None
    if certificate:
        try:
            with _as_file(f"{certificate}\n{key}") as path:
                context.load_cert_chain(path, password=_no_pass_phrase)
        except (ssl.SSLError, ValueError) as error:
            words = f"the client certificate and its key cannot be used: {error}"
            raise ValueError(words) from None
    return context


def _no_pass_phrase() -> str:
    raise ValueError("the key is encrypted with a pass phrase")  # else OpenSSL asks the terminal


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """Give a text a path for as long as it is read: OpenSSL takes keys from files alone."""
    if hasattr(os, "memfd_create"):  # in memory: the operator's file system is read-only
        with os.fdopen(os.memfd_create("key"), "w") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        yield file.name
