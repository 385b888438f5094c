"""Keeping a lease alive with few bytes: beats on one open stream, and requests where none is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rdzv_client.etcdv3 import answers, errors, fields, requests
from rdzv_client.etcdv3.stream import Stream, Wakeup

if TYPE_CHECKING:
    from rdzv_client.etcdv3.client import Client

_STREAM_SHARE: Final = 0.5
"""Of a beat's time; the rest is for a request, which is tried at all endpoints."""
_BEATS_BEFORE: Final = 1
"""By requests, before a stream is opened: while many join, etcd has more to do than open those."""
_BEATS_WITHOUT: Final = 8
"""By requests, after a stream failed: some servers, and some ways to them, have none."""
_NEVER_PINGED_S: Final = 3600.0
"""A stream that is silent between beats is as it should be."""


class KeepAlive:
    """Shows life for a lease, beat by beat; for one thread.

    A beat on the stream takes some 200 bytes, both ways together; as a request it takes 500.

    Args:
        client: whose endpoints, credentials and limits are used.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._wakeup: Wakeup | None = None
        self._stream: Stream | None = None
        self._without = _BEATS_BEFORE

    def beat(self, lease: int, timeout_s: float) -> int:
        """Have the lease live for another full time. Returns that time in seconds.

        Args:
            lease: its id.
            timeout_s: for the answer, over all endpoints.

        Raises:
            LeaseNotFound: it expired or was revoked; its keys are gone.
            ConnectionFailed, RequestTimedOut, RequestRefused, ResponseInvalid: it did not succeed.
        """
        began_s = time.monotonic()
        if self._without:
            self._without -= 1
        else:
            try:
                return self._beat_on_stream(lease, began_s + timeout_s * _STREAM_SHARE)
            except errors.LeaseNotFound:
                raise
            except (OSError, errors.EtcdError):
                self._drop()
                self._without = _BEATS_WITHOUT
        return self._client.keep_alive(lease, began_s + timeout_s - time.monotonic())

    def close(self) -> None:
        """End the stream."""
        if self._stream is not None:
            self._stream.close()
        self._drop()

    def _beat_on_stream(self, lease: int, until_s: float) -> int:
        self._stream = self._stream or self._open()
        request = requests.keep_alive_request(lease)
        self._stream.send([request.body])
        line = self._stream.receive(until_s)
        if line is None:
            raise TimeoutError("no answer in time")
        return answers.keep_alive_result(fields.parse(line, "a keep-alive")).ttl_s

    def _open(self) -> Stream:
        carrier = self._client.transport
        path = requests.KEEP_ALIVE_PATH
        self._wakeup = self._wakeup or Wakeup()
        return carrier.open_stream(path, carrier.preferred(), self._wakeup, _NEVER_PINGED_S)

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.drop()
        if self._wakeup is not None:
            self._wakeup.close()
        self._stream = self._wakeup = None
