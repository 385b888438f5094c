"""HTTP answers and WebSocket messages, in pieces of any size."""

import pytest

from rdzv_client.etcdv3 import http1, websocket
from rdzv_client.etcdv3.errors import ResponseInvalid
from rdzv_client.etcdv3.websocket import Message, Opcode

LIMIT = 1000
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MASK = b"\x01\x02\x03\x04"


def pieces(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", b""),
        (CHUNKED + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", b"hello"),
        (CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n\r\n", b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
    ids=["length", "empty", "chunks", "trailer", "no content"],
)
def test_an_answer_is_whole_with_its_last_byte_and_not_before(raw, body, size):
    parser = http1.AnswerParser(LIMIT)
    whole = [parser.feed(piece) for piece in pieces(raw, size)]
    assert whole == [False] * (len(whole) - 1) + [True]
    assert bytes(parser.body) == body


def test_an_answer_without_a_length_ends_with_the_connection():
    parser = http1.AnswerParser(LIMIT)
    assert not parser.feed_end()
    assert not parser.feed(b"HTTP/1.1 200 OK\r\n\r\nhel")
    assert not parser.feed(b"lo")
    assert parser.feed_end()
    assert bytes(parser.body) == b"hello"


def test_what_follows_an_upgrade_is_kept():
    parser = http1.AnswerParser(LIMIT)
    assert parser.feed(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x00")
    assert parser.leftover == b"\x81\x00"


@pytest.mark.parametrize(
    ("header", "keeps"), [("", True), ("Connection: close\r\n", False), ("X: close\r\n", True)]
)
def test_the_server_says_when_a_connection_ends(header, keeps):
    parser = http1.AnswerParser(LIMIT)
    parser.feed(f"HTTP/1.1 200 OK\r\n{header}Content-Length: 0\r\n\r\n".encode())
    assert parser.head.keeps_connection is keeps


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"3e9\r\n",
        CHUNKED + b"1" * 2000,
    ],
)
def test_an_answer_beyond_the_rules_or_the_limit_is_refused(raw):
    with pytest.raises(ResponseInvalid):
        http1.AnswerParser(LIMIT).feed(raw)


def test_a_request_carries_its_token():
    raw = http1.post("/v3/kv/put", "host:1", b"{}", "abc.1")
    assert raw.startswith(b"POST /v3/kv/put HTTP/1.1\r\nHost: host:1\r\n")
    assert b"\r\nAuthorization: abc.1\r\n" in raw
    assert raw.endswith(b"\r\nContent-Length: 2\r\n\r\n{}")
    assert b"Authorization" not in http1.post("/", "host", b"", None)


# WebSocket


@pytest.mark.parametrize("size", [1, 2, 5, 100_000])
@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536])
def test_a_message_of_any_length_arrives(length, size):
    payload = b"x" * length
    raw = bytearray(websocket.frame(Opcode.TEXT, payload, b"\0\0\0\0"))
    raw[1] &= 0x7F  # as a server sends it: without a mask
    extra = {126: 2, 127: 8}.get(raw[1], 0)
    del raw[2 + extra : 6 + extra]
    parser = websocket.MessageParser(70_000)
    found = [message for piece in pieces(bytes(raw), size) for message in parser.feed(piece)]
    assert found == [Message(Opcode.TEXT, payload)]


def test_a_client_masks_what_it_sends():
    masked = bytes(letter ^ MASK[place % 4] for place, letter in enumerate(b"abcde"))
    assert websocket.frame(Opcode.TEXT, b"abcde", MASK) == b"\x81\x85" + MASK + masked
    assert websocket.frame(Opcode.PING, b"", MASK) == b"\x89\x80" + MASK


def test_fragments_are_joined_and_control_messages_may_come_between():
    parser = websocket.MessageParser(LIMIT)
    found = parser.feed(b"\x01\x02he\x89\x01p\x00\x01l\x80\x02lo\x82\x01b")
    assert found == [
        Message(Opcode.PING, b"p"),
        Message(Opcode.TEXT, b"hello"),
        Message(Opcode.BINARY, b"b"),
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x83\x00",  # an opcode that does not exist
        b"\xc1\x00",  # a reserved bit
        b"\x81\x80",  # a mask, which servers do not use
        b"\x80\x00",  # continues nothing
        b"\x01\x00\x01\x00",  # begins within a message
        b"\x09\x00",  # a control message in fragments
        b"\x88\x7e\x00\x7e",  # a control message that is too long
        b"\x81\x7e\x03\xe9",  # over the limit
        b"\x01\x7e\x03\xe8" + b"x" * 1000 + b"\x80\x01",  # over the limit in fragments
    ],
)
def test_frames_beyond_the_rules_or_the_limit_are_refused(raw):
    with pytest.raises(ResponseInvalid):
        websocket.MessageParser(LIMIT).feed(raw)


def test_an_upgrade_is_accepted_only_for_its_own_key():
    key = b"the sample nonce"  # of RFC 6455, section 1.3
    raw = b"HTTP/1.1 %d Yes\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    head = http1.parse_head(raw % 101)
    assert websocket.is_accepted(head, key)
    assert not websocket.is_accepted(head, b"another nonce..")
    assert not websocket.is_accepted(http1.parse_head(raw % 200), key)
    raw = websocket.upgrade("/v3/watch", "host:1", key, "abc.1")
    assert b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" in raw
    assert b"Sec-WebSocket-Protocol: Bearer, abc.1\r\n" in raw
