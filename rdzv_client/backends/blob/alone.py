"""A run of one node: there is nobody to meet, so it goes on even where nothing is kept."""

from __future__ import annotations

from typing import Any

from rdzv_client.backends.blob.value import State


class Alone:
    """A backend for the only node of its run (implements :class:`State`).

    What the backend does not keep, though it raised no error, is kept here. With more nodes that
    would break the fence: each would go by a state of its own.

    Args:
        state: The backend.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._kept: tuple[bytes, Any] | None = None

    def get_state(self) -> tuple[bytes, Any] | None:
        return self._state.get_state() or self._kept

    def set_state(self, state: bytes, token: Any | None = None) -> tuple[bytes, Any, bool] | None:
        answer = self._state.set_state(state, token)
        if answer is not None or self._state.get_state() is not None:
            return answer
        self._kept = state, None
        return state, None, True
