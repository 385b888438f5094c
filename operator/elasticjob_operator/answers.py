"""What the API server answers, and what of it is an error."""

from __future__ import annotations

import json
from typing import Any


class ClusterError(Exception):
    """The API server did not do what it was asked to."""


class Refused(ClusterError):
    """The API server refused; the text is its own.

    Attributes:
        status: The HTTP status.
        reason: The server's word for it, such as Invalid, Forbidden or AlreadyExists.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Unavailable(ClusterError):
    """The API server cannot be reached, or has too much to do."""


def document(text: bytes) -> dict[str, Any]:
    """Return the JSON object that was answered; an empty one if it was something else."""
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def check(status: int, text: bytes) -> None:
    """Say whether the answer is an error.

    Raises:
        Refused: trying the same again is of no use by itself.
        Unavailable: it may be.
    """
    if 200 <= status < 300:
        return
    answer = document(text)
    message = answer.get("message") or f"HTTP status {status}"
    # 500: an admission webhook that does not answer, most often; people must know.
    if status > 500 or status in {401, 429}:
        raise Unavailable(f"the API server answers: {message}")
    raise Refused(status, answer.get("reason") or "", message)


def words(error: BaseException) -> str:
    """Return what an error of the connection says, or else what it is."""
    return str(error) or type(error).__name__
