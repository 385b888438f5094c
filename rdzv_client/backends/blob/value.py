"""The one value of a run, read and changed by compare-and-set."""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from rdzv_client import wire
from rdzv_client.backends import StoreUnavailable
from rdzv_client.backends.blob import document
from rdzv_client.backends.blob.calls import GivenUp
from rdzv_client.backends.blob.document import Document, Written

_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 1.0

Edit = Callable[[Document], bool]


class State(Protocol):
    """One value with a fencing token: ``RendezvousBackend`` of torch, and of this library."""

    def get_state(self) -> tuple[bytes, Any] | None:
        """Return the value and its token, or None."""

    def set_state(self, state: bytes, token: Any | None = None) -> tuple[bytes, Any, bool] | None:
        """Set the value if the token is current; return what stands there now."""


class StateFault(StoreUnavailable, wire.WireError):
    """What the backend holds is no state of this run. It is left as it is: it may be another's."""


class Value:
    """A run's document in a backend. Not for several threads at once.

    Args:
        state: The backend.
        keys: The run's keys.
        longest_pause_s: After a write that another one beat; 0 for the default, 1 s.
        corrupt: What the backend raises when it cannot read what it holds.
        stopped: Ends the attempts to write.
    """

    def __init__(
        self,
        state: State,
        keys: wire.Keys,
        longest_pause_s: float,
        corrupt: tuple[type[Exception], ...],
        stopped: threading.Event,
    ) -> None:
        self._state, self._keys, self._corrupt = state, keys, corrupt
        self._longest_pause_s = longest_pause_s or _LONGEST_PAUSE_S
        self._stopped = stopped
        self._last: Written | None = None
        self._token: Any = None

    def read(self) -> Document:
        """Return what stands there now.

        Raises:
            StateFault: it is no state of this run.
            StoreUnavailable: the backend cannot be reached.
        """
        answer = self._ask(self._state.get_state, 2)
        if answer is None:
            self._token = None
            return Document(self._keys)
        return self._keep(*answer)

    def change(self, edit: Edit, given_up: GivenUp) -> Document | None:
        """Read, edit and write, until nobody was faster.

        Args:
            edit: Changes a draft; returns whether it is to be written.
            given_up: Whether nobody waits for it any longer.

        Returns:
            What was written; None when there was nothing to write.

        Raises:
            StateFault: what stands there is no state of this run, or would be too large.
            StoreUnavailable: the backend cannot be reached, or others were faster every time.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            there = self.read()
            draft = there.draft(0 if there.epoch else secrets.randbits(document.EPOCH_BITS) + 1)
            if not edit(draft):
                return None
            if given_up() or self._stopped.is_set():
                raise StoreUnavailable("others changed the state again and again")
            if self._compare_and_set(draft):
                return draft
            self._stopped.wait(random.uniform(0, min(pause_s, self._longest_pause_s)))  # noqa: S311
            pause_s *= 2

    def _compare_and_set(self, draft: Document) -> bool:
        """Write the draft, if what it was made of still stands."""
        state = _bounded(draft, self._last)
        answer = self._ask(lambda: self._state.set_state(state, self._token), 3)
        if answer is None:  # whether it was written is not known, so look
            there = self._ask(self._state.get_state, 2)
            answer = there and (*there, there[0] == state)
        if answer is None or not answer[2]:
            return False
        self._last, self._token = Written(state, draft), answer[1]
        return True

    def _keep(self, state: bytes, token: Any) -> Document:
        if self._last is None or self._last.state != state:
            self._last = Written(state, self._decoded(state))
        self._token = token
        return self._last.document

    def _decoded(self, state: Any) -> Document:
        if not isinstance(state, bytes):
            raise StateFault(f"the backend holds {type(state).__name__}, and not bytes")
        try:
            return document.decode(self._keys, state, self._last)
        except wire.WireError as error:
            raise StateFault(str(error)) from error

    def _ask(self, call: Callable[[], Any], length: int) -> tuple[Any, ...] | None:
        """Whatever a backend raises or returns, it can be asked again: no thread ends by it."""
        try:
            answer = call()
            if answer is None or len(answer) == length:
                return answer  # type: ignore[no-any-return]
            raise TypeError(f"the backend should return {length} values, not {len(answer)}")
        except self._corrupt as error:
            raise StateFault(str(error)) from error
        except Exception as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error


def _bounded(draft: Document, like: Written | None) -> bytes:
    try:
        return document.encode(draft, like)
    except wire.WireError as error:
        raise StateFault(f"the state would be too large: {error}") from error
