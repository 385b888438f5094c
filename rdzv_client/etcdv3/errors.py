"""What can go wrong between this client and an etcd server.

Every error is an :class:`EtcdError`. Its ``ambiguous`` attribute tells whether the request may
have been carried out although no answer came back: a write that failed so must be looked up, not
repeated.
"""

from __future__ import annotations

from collections.abc import Sequence


class EtcdError(Exception):
    """Base of everything this package raises, apart from ``ValueError`` for wrong arguments."""

    ambiguous: bool = False


class ConnectionFailed(EtcdError):
    """No endpoint carried out the request.

    Attributes:
        attempts: each endpoint that was tried, with what went wrong there.
        ambiguous: whether a write may have been carried out all the same.
    """

    def __init__(self, attempts: Sequence[tuple[str, str]], *, ambiguous: bool = False) -> None:
        self.attempts = tuple(attempts)
        self.ambiguous = ambiguous
        tried = "; ".join(f"{endpoint}: {problem}" for endpoint, problem in self.attempts)
        doubt = " (the request may have been carried out)" if ambiguous else ""
        super().__init__(f"etcd could not be reached: {tried}{doubt}")


class RequestTimedOut(ConnectionFailed):
    """The last endpoint that was tried did not answer in time (attributes: see the base)."""


class ResponseInvalid(EtcdError):
    """The server sent something that etcd's gateway never sends, or more than is accepted."""


class RequestRefused(EtcdError):
    """The server answered with an error.

    Attributes:
        code: the gRPC status code, such as 3 invalid argument or 8 resource exhausted.
        reason: the server's own words.
    """

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"etcd refused the request: {reason} (code {code})")


class LeaseNotFound(RequestRefused):
    """The lease expired, was revoked, or never existed: the keys under it are gone."""


class Compacted(RequestRefused):
    """The history asked for was compacted away.

    Attributes:
        compact_revision: the lowest revision that still exists, 0 when the server did not say.
    """

    def __init__(self, code: int, reason: str, compact_revision: int = 0) -> None:
        super().__init__(code, reason)
        self.compact_revision = compact_revision


class FutureRevision(RequestRefused):
    """The revision asked for does not exist yet: the server's history is shorter than expected."""


class AuthenticationFailed(RequestRefused):
    """User, password or token were not accepted, or none was given where one is needed."""


class TokenInvalid(AuthenticationFailed):
    """The token has expired or the users were changed since it was issued: ask for a new one."""


class PermissionDenied(RequestRefused):
    """The user has no right to these keys."""


class ServerUnavailable(RequestRefused):
    """This member cannot serve now (no leader, stopping, overloaded); another one may."""


class Resync(EtcdError):
    """A watch cannot go on without a gap: list the keys again and watch from there.

    Raised after compaction, and when the store is not the one that was watched (another cluster
    id) or has lost history that was seen (restored or emptied).

    Attributes:
        reason: why, in words.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the watch has a gap, list again: {reason}")
