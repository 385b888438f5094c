"""Asking until there is an answer: what an operator must know before it can begin."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

log = logging.getLogger(__name__)

AGAIN_S: Final = 2.0

T = TypeVar("T")


async def until_answered(
    ask: Callable[[], Awaitable[T]],
    errors: type[Exception] | tuple[type[Exception], ...],
    what: str = "",
) -> T:
    """Return the answer, as soon as there is one. Why there is none is logged when it changes.

    Args:
        ask: Asks once.
        errors: What it raises while there is none; the text says why.
        what: What is waited for, where the error does not say so.
    """
    told = ""
    while True:
        try:
            return await ask()
        except errors as error:
            words = str(error)
        if words != told:
            log.warning("waiting%s: %s", f" for {what}" if what else "", words)
            told = words
        await asyncio.sleep(AGAIN_S)
