"""As much HTTP/1.1 as a client of etcd's gateway needs, without any input or output.

The standard library's ``http.client`` cannot bound an answer by one deadline and one size, keeps
bytes that follow a ``101 Switching Protocols``, and costs several times the processor time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rdzv_client.etcdv3.errors import ResponseInvalid

_MAX_HEAD_BYTES = 64 * 1024
_MAX_CHUNK_LINE_BYTES = 1024
_STATUS_LINE = re.compile(r"HTTP/1\.\S* ([0-9]{3})")


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers of an answer, which are looked for when they are asked for."""

    status: int
    lines: str
    lower: str

    def header(self, name: str) -> str | None:
        """A header's value; ``name`` in lower case."""
        start = self.lower.find(f"\r\n{name}:")
        if start < 0:
            return None
        return self.lines[start + len(name) + 3 :].partition("\r\n")[0].strip()

    @property
    def keeps_connection(self) -> bool:
        return "close" not in (self.header("connection") or "").lower()


def post(path: str, host: str, body: bytes, token: str | None) -> bytes:
    """A whole POST request with a JSON body."""
    authorization = f"Authorization: {token}\r\n" if token else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"{authorization}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def parse_head(raw: bytes) -> Head:
    """Raises ResponseInvalid when this is no head of an HTTP/1.x answer."""
    lines = raw.decode("latin-1")
    found = _STATUS_LINE.match(lines)
    if found is None:
        first = lines.partition("\r\n")[0]
        raise ResponseInvalid(f"not an HTTP/1.1 answer: {first[:80]!r}")
    return Head(int(found[1]), lines, lines.lower())  # no letter of latin-1 changes its length


class AnswerParser:
    """Takes an answer as it comes, in pieces of any size.

    Args:
        limit_bytes: a longer body is refused, as soon as its length is known.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.head: Head | None = None
        self.body = bytearray()
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._left: int | None = 0  # of the body or the chunk at hand; None: until the end
        self._chunked = False
        self._trailing = False

    @property
    def leftover(self) -> bytes:
        """What came behind a head without a body, such as that of a 101."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> bool:
        """Whether the answer is whole now. Raises ResponseInvalid."""
        self._buffer += data
        if self.head is None and not self._take_head():
            return False
        if self._chunked:
            return self._take_chunks()
        return self._take_plain() and self._left == 0

    def feed_end(self) -> bool:
        """The server closed the connection: whether the answer is whole by that."""
        return self.head is not None and self._left is None

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > _MAX_HEAD_BYTES:
            if len(self._buffer) > _MAX_HEAD_BYTES:
                raise ResponseInvalid(f"HTTP headers of more than {_MAX_HEAD_BYTES} bytes")
            return False
        self.head = parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        self._chunked = "chunked" in (self.head.header("transfer-encoding") or "").lower()
        self._left = 0 if self._chunked else self._plain_length(self.head)
        return True

    def _plain_length(self, head: Head) -> int | None:
        if head.status in (101, 204, 304):
            return 0
        text = head.header("content-length")
        if text is None:
            return None
        if not (text.isascii() and text.isdecimal()):
            raise ResponseInvalid(f"Content-Length: expected a number, got {text[:40]!r}")
        return self._within_limit(int(text[:20]))

    def _within_limit(self, length: int) -> int:
        if len(self.body) + length > self._limit_bytes:
            raise ResponseInvalid(
                f"an answer of {len(self.body) + length} bytes or more; "
                f"at most {self._limit_bytes} are accepted"
            )
        return length

    def _take_plain(self) -> bool:
        """Move what belongs to the body there. Whether a body or chunk of known length is full."""
        if self._left is None:
            self._within_limit(len(self._buffer))
            self.body += self._buffer
            self._buffer.clear()
            return False
        taken = self._buffer[: self._left]
        del self._buffer[: self._left]
        self.body += taken
        self._left -= len(taken)
        return self._left == 0

    def _take_chunks(self) -> bool:
        while self._take_plain():
            line = self._take_line()
            if line is None:
                return False
            if self._trailing:
                if not line:
                    return True
            elif line:  # the line break behind a chunk gives an empty one
                self._begin_chunk(line)
        return False

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, _MAX_CHUNK_LINE_BYTES)
        if end < 0:
            if len(self._buffer) > _MAX_CHUNK_LINE_BYTES:
                raise ResponseInvalid("a chunk of the answer has no length")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _begin_chunk(self, line: bytes) -> None:
        size = line.partition(b";")[0].strip()
        try:
            length = int(size[:16], 16)
        except ValueError as error:
            shown = size[:40].decode(errors="backslashreplace")
            raise ResponseInvalid(f"chunk length: expected hexadecimal, got {shown!r}") from error
        if length < 0:
            raise ResponseInvalid("chunk length: negative")
        self._trailing = length == 0
        self._left = self._within_limit(length)
