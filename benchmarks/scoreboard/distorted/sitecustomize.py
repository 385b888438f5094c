"""Loaded by Python at its start where this folder is on its path: a machine that is not in order.

``SCOREBOARD_CLOCK_AHEAD_S``: its clock is so many seconds ahead of the others'.
``SCOREBOARD_NO_NAME``: its own host name cannot be resolved.
"""

from __future__ import annotations

import datetime as dt
import os
import socket
import time
from typing import Any

_ahead_s = float(os.environ.get("SCOREBOARD_CLOCK_AHEAD_S", "0"))
_true_time, _resolve = time.time, socket.getaddrinfo


class _Datetime(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> _Datetime:
        return cls.fromtimestamp(_true_time() + _ahead_s, tz)

    @classmethod
    def utcnow(cls) -> _Datetime:
        return cls.now(dt.timezone.utc).replace(tzinfo=None)


def _resolve_all_but_own(host: Any, *more: Any, **named: Any) -> Any:
    if host == socket.gethostname():
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _resolve(host, *more, **named)


if _ahead_s:
    # It is pickled under its name, and unpickled elsewhere as the class of that name.
    _Datetime.__name__ = _Datetime.__qualname__ = "datetime"
    _Datetime.__module__ = "datetime"
    dt.datetime = _Datetime  # type: ignore[misc]
    time.time = lambda: _true_time() + _ahead_s

if "SCOREBOARD_NO_NAME" in os.environ:
    socket.getaddrinfo = _resolve_all_but_own
