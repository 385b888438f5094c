"""As much of the WebSocket protocol (RFC 6455) as a watch needs, without any input or output.

etcd serves its streams as WebSockets too, one JSON message in each. That is the one way to talk
in both directions over its gateway: a plain HTTP/1.1 request is answered only after its body has
ended, so ranges could not be added later, and a silent server could not be asked whether it lives.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from enum import IntEnum
from typing import NamedTuple

from rdzv_client.etcdv3.errors import ResponseInvalid
from rdzv_client.etcdv3.http1 import Head

_ACCEPT_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # fixed by the RFC
_MAX_CONTROL_BYTES = 125
_LONGER_HEADS = {126: 4, 127: 10}  # bytes, by what stands for the length


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_OPCODES = {int(opcode): opcode for opcode in Opcode}


class Message(NamedTuple):
    """A whole message, joined from its fragments."""

    opcode: Opcode
    payload: bytes


def upgrade(path: str, host: str, key: bytes, token: str | None) -> bytes:
    """The request that turns a connection into a WebSocket; ``key`` is 16 random bytes."""
    # etcd takes the token from here: browsers can set no other header on a WebSocket.
    protocol = f"Sec-WebSocket-Protocol: Bearer, {token}\r\n" if token else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {b64encode(key).decode()}\r\n"
        f"{protocol}\r\n"
    ).encode("ascii")


def is_accepted(head: Head, key: bytes) -> bool:
    """Whether the server agreed, and to this very request."""
    digest = hashlib.sha1(b64encode(key) + _ACCEPT_SALT, usedforsecurity=False).digest()
    expected = b64encode(digest).decode()
    return head.status == 101 and head.header("sec-websocket-accept") == expected


def frame(opcode: Opcode, payload: bytes, mask: bytes) -> bytes:
    """One whole message of the client; ``mask`` is 4 random bytes."""
    length = len(payload)
    if length <= _MAX_CONTROL_BYTES:
        size = bytes([0x80 | length])
    elif length < 1 << 16:
        size = b"\xfe" + length.to_bytes(2, "big")
    else:
        size = b"\xff" + length.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + size + mask + _masked(payload, mask)


def _masked(payload: bytes, mask: bytes) -> bytes:
    length = len(payload)
    stream = (mask * (length // 4 + 1))[:length]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return mixed.to_bytes(length, "big")


def _opcode(first: int, second: int) -> Opcode:
    """What kind of frame begins with these bytes. Raises ResponseInvalid: none of a server."""
    opcode = _OPCODES.get(first & 0x0F)
    if opcode is None or first & 0x70 or second & 0x80:
        raise ResponseInvalid(f"not a WebSocket frame of a server: {first:#04x} {second:#04x}")
    if opcode >= Opcode.CLOSE and (second > _MAX_CONTROL_BYTES or not first & 0x80):
        raise ResponseInvalid(f"a WebSocket control frame that is too long: {first:#04x}")
    return opcode


class MessageParser:
    """Takes the server's frames as they come, in pieces of any size.

    Args:
        limit_bytes: a longer message is refused, as soon as its length is known.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._opcode: Opcode | None = None
        self._fragments = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises ResponseInvalid."""
        self._buffer += data
        messages = []
        while (taken := self._take_frame()) is not None:
            message = self._join(*taken)
            if message is not None:
                messages.append(message)
        return messages

    def _take_frame(self) -> tuple[bool, Opcode, bytes] | None:
        """The next frame (whether it is final, opcode, payload), or None until it is whole."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        opcode = _opcode(first, second)
        head_bytes = _LONGER_HEADS.get(second, 2)
        if len(buffer) < head_bytes:
            return None
        length = second if head_bytes == 2 else int.from_bytes(buffer[2:head_bytes], "big")
        self._check_length(length)
        end = head_bytes + length
        if len(buffer) < end:
            return None
        payload = bytes(buffer[head_bytes:end])
        del buffer[:end]
        return first >= 0x80, opcode, payload

    def _check_length(self, length: int) -> None:
        whole = len(self._fragments) + length
        if whole > self._limit_bytes:
            raise ResponseInvalid(
                f"a message of {whole} bytes or more; at most {self._limit_bytes} are accepted"
            )

    def _join(self, final: bool, opcode: Opcode, payload: bytes) -> Message | None:
        if opcode >= Opcode.CLOSE:
            return Message(opcode, payload)
        if (opcode == Opcode.CONTINUATION) == (self._opcode is None):
            raise ResponseInvalid("a WebSocket message continues that never began, or never ended")
        if opcode != Opcode.CONTINUATION:
            if final:
                return Message(opcode, payload)
            self._opcode = opcode
        self._fragments += payload
        if not final:
            return None
        whole, self._opcode = Message(self._opcode or opcode, bytes(self._fragments)), None
        self._fragments = bytearray()
        return whole
