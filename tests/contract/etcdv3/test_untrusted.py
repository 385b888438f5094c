"""Whatever answers at the endpoint, the client says what is wrong, in bounded time and memory."""

import base64
import hashlib
import time

import pytest

from rdzv_client import etcdv3
from rdzv_client.etcdv3 import messages

HEADER = '"header":{"cluster_id":"1","member_id":"1","revision":"1"}'


def answer(body, status="200 OK", headers=""):
    body = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def websocket(*frames):
    """A server that accepts the upgrade and sends these frames."""

    def reply(request):
        key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n" + b"".join(frames)
        )

    return reply


def text_frame(text):
    return b"\x81\x7e" + len(text).to_bytes(2, "big") + text.encode()


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (answer('{"kvs": ['), "not JSON"),
        (answer("[" * 60_000), "not JSON"),
        (answer("[1]"), "expected an object"),
        (answer("{}"), "header: missing"),
        (answer('{"header": 5}'), "header: expected an object"),
        (answer(f'{{{HEADER}, "kvs": {{}}}}'), "kvs: expected a list"),
        (answer(f'{{{HEADER}, "kvs": [5]}}'), "kvs: expected a list of objects"),
        (answer(f'{{{HEADER}, "kvs": [{{"key": 5}}]}}'), "key: expected base64, got 5"),
        (answer(f'{{{HEADER}, "kvs": [{{"key": "%%"}}]}}'), "key: expected base64, got %%"),
        (answer(f'{{{HEADER}, "count": "1e3"}}'), "count: expected a 64-bit number, got 1e3"),
        (answer(f'{{{HEADER}, "count": 1.5}}'), "count: expected a 64-bit number"),
        (answer(f'{{{HEADER}, "count": "{"9" * 5000}"}}'), "count: expected a 64-bit number"),
        (answer(f'{{{HEADER}, "more": "yes"}}'), "more: expected true or false"),
        (answer("<html>welcome</html>"), "not JSON.*welcome"),
        (answer("<html>gone</html>", "404 Not Found"), "HTTP status 404.*grpc-gateway"),
        (answer("", "302 Found", "Location: /\r\n"), "HTTP status 302"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not an HTTP/1.1 answer: 'SSH"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "at most 65536"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "chunk length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n", "at most 65536"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70_000, "at most 65536"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000, "HTTP headers of more than"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(impostor, connect, reply, problem):
    client = connect(impostor(reply).url, limit_bytes=65536)
    with pytest.raises(etcdv3.ResponseInvalid, match=problem) as caught:
        client.get("a")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        answer("", "502 Bad"),
    ],
)
def test_an_answer_that_breaks_off_is_a_failed_connection(impostor, connect, reply):
    with pytest.raises(etcdv3.ConnectionFailed):
        connect(impostor(reply).url).get("a")


def test_a_server_that_never_answers_costs_the_time_limit_and_no_more(impostor, connect):
    client = connect(impostor(b"HTTP/1.1 200 OK\r\n", hang=True).url, request_timeout_s=0.2)
    started_s = time.monotonic()
    with pytest.raises(etcdv3.RequestTimedOut):
        client.get("a")
    assert time.monotonic() - started_s < 3


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (websocket(text_frame("{torn")), "a watch message is not JSON"),
        (websocket(text_frame('{"result": []}')), "result: expected an object"),
        (websocket(text_frame("{}")), "neither a result nor an error"),
        (websocket(text_frame(f'{{"result": {{{HEADER}, "events": 5}}}}')), "events: expected"),
        (websocket(text_frame('{"result": {}}')), "header: missing"),
        (websocket(b"\x81\x7f" + (1 << 40).to_bytes(8, "big")), "at most 65536"),
        (websocket(b"\x01\x0aaaaaaaaaaa" + b"\x00\x7e\xff\xff"), "at most 65536"),
        (websocket(b"\x81\x85mask....."), "not a WebSocket frame"),
        (websocket(b"\x80\x01a"), "continues that never began"),
        (websocket(b"\x89\x7e\x00\x00"), "too long"),
        (answer("{}", "404 Not Found"), "HTTP status 404"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP status 101"),
    ],
)
def test_a_stream_that_makes_no_sense_ends_the_watch(impostor, connect, follow, reply, problem):
    client = connect(impostor(reply, hang=True).url, limit_bytes=65536)
    ended = follow(client, messages.one("a")).until_ended()
    assert isinstance(ended, etcdv3.ResponseInvalid)
    assert problem in str(ended)


def test_a_watch_outlives_a_proxy_that_has_no_server_behind_it(
    impostor, connect, follow, shared_etcd
):
    proxy = impostor(answer("no upstream", "503 Service Unavailable"))
    client = connect(proxy.url, shared_etcd.url)
    follow(client, messages.one("a")).until(lambda seen: seen.created())
    assert proxy.requests == 1
