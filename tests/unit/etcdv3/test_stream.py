"""A stream gives up a server that is silent, and no other."""

import contextlib
import socket

import pytest

from rdzv_client.etcdv3 import connection, endpoints, stream

HEARTBEAT_S, LIMIT_BYTES = 0.05, 1024
TEXT_X = b"\x81\x01x"  # a whole message, as a server sends it


@pytest.fixture
def ends():
    """A stream, and the server's end of it."""
    with contextlib.ExitStack() as stack:
        ours, theirs = map(stack.enter_context, socket.socketpair())
        link = connection.Connection(ours, endpoints.Endpoint("127.0.0.1", 1, secure=False))
        wakeup = stack.enter_context(contextlib.closing(stream.Wakeup()))
        yield stream.GatewayStream(link, b"", wakeup, (HEARTBEAT_S, LIMIT_BYTES)), theirs


class Starved:
    """A poll after which the thread does not run for long: it finds nothing, then much happens."""

    def __init__(self, poll, meanwhile):
        self._poll, self._meanwhile, self._waits = poll, meanwhile, 0

    def poll(self, timeout_ms):
        if timeout_ms:
            self._waits += 1
        if self._waits == 2 and timeout_ms:  # the first ends with a ping
            self._meanwhile()
            return []
        return self._poll.poll(timeout_ms)


def test_a_server_that_does_not_answer_a_ping_is_given_up(ends):
    with pytest.raises(TimeoutError, match="nothing heard for"):
        ends[0].receive()


def test_an_answer_that_came_while_the_thread_could_not_run_counts(ends):
    ours, theirs = ends
    ours._poll = Starved(ours._poll, lambda: theirs.sendall(TEXT_X))
    assert ours.receive() == b"x"
