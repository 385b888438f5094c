"""The parts of the TCPStore backend that need no store."""

import threading

import pytest

from rdzv_client import wire
from rdzv_client.backends import Evicted, StoreUnavailable
from rdzv_client.backends.c10d import layout
from rdzv_client.backends.c10d import lead as leads
from rdzv_client.backends.c10d.lead import Lead
from rdzv_client.backends.c10d.line import Line
from rdzv_client.backends.c10d.pulses import BEATS_PER_LEASE, Pulses

LEASE_S = 8.0
PERIOD_S = LEASE_S / BEATS_PER_LEASE

# --- who leads, and the round, in one key ---


def test_what_is_written_is_read_again():
    lead = Lead("epoch", seq=3, term=2, leader=7).with_places(b'{"a":\n1}', ranks=2)
    assert leads.decode("key", leads.encode(lead)) == lead


def test_there_may_be_no_round_yet():
    lead = Lead("epoch", leader=1)
    assert leads.decode("key", leads.encode(lead)).round is None


def test_every_change_is_told_from_the_one_before():
    first = Lead("epoch", leader=1)
    passed = first.passed_to(2)
    assert (passed.term, passed.leader, passed.revision) == (2, 2, 0)
    written = passed.with_round(b"{}")
    assert written.revision == written.seq == 3
    assert written.is_newer_than(passed)
    assert not passed.is_newer_than(written)
    assert Lead("other").is_newer_than(written)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"[1]",
        b"\x80\x04cos\nsystem\n(S'id'\ntR.",
        leads.encode(Lead("e")).replace(b'"v":1', b'"v":2'),
        leads.encode(Lead("e")).replace(b'"term":1', b'"term":-1'),
        leads.encode(Lead("e")).replace(b'"term":1', b'"term":1.5'),
        leads.encode(Lead("e")).replace(b'"term":1', b'"term":true'),
        leads.encode(Lead("e")) + b"\n" + b"x" * wire.MAX_DOCUMENT_BYTES,
        b"[" * 50_000,
    ],
    ids=range(10),
)
def test_what_is_no_such_thing_is_refused(value):
    with pytest.raises(wire.WireError, match="under 'the-key' is not a round with its leader"):
        leads.decode("the-key", value)


# --- names ---


def test_only_names_of_documents_are_taken_from_a_bell_each_once():
    rung = b"members/3\nleft/a.1\nmembers/3\nround\nop/settings\nop/gone/uid\nranks/0/a.1\n\n"
    foreign = b"members/-1\nmembers/x\nwakes/1\n../round\nleft/a b\nleft/\xff\nround2\n"
    expected = ["members/3", "left/a.1", "round", "op/settings", "op/gone/uid", "ranks/0/a.1"]
    assert layout.names(rung + foreign) == expected
    assert layout.names(None) == []


# --- signs of life ---


def readings(pulses, *counts, start=0.0):
    """Read a counter once in a period; return after how many readings it counted as lost."""
    for number, count in enumerate(counts):
        if pulses.observe({1: count}, start + number * PERIOD_S):
            return number
    return None


def test_a_counter_that_moves_is_alive():
    assert readings(Pulses(LEASE_S), *range(20)) is None


def test_one_that_stands_still_is_lost_within_a_lease():
    assert readings(Pulses(LEASE_S), 1, 2, 2, 2, 2, 2) == 4


def test_one_beat_may_be_missed():
    assert readings(Pulses(LEASE_S), 1, 1, 1, 2, 2, 2, 3) is None


def test_after_a_gap_all_have_a_whole_lease_again():
    pulses = Pulses(LEASE_S)
    assert readings(pulses, 1, 1, 1) is None
    assert readings(pulses, 1, 1, 1, start=100.0) is None
    assert readings(pulses, 1, start=100.0 + 3 * PERIOD_S) == 0


def test_a_newcomer_is_not_judged_by_the_time_before_it_came():
    pulses = Pulses(LEASE_S)
    for number in range(3):
        pulses.observe({1: 1}, number * PERIOD_S)
    assert pulses.observe({1: 1, 2: 1}, 3 * PERIOD_S) == [1]


# --- a connection that holds nobody ---


class Doors:
    """Hands out connections, which are numbers here."""

    def __init__(self):
        self.opened = 0

    def __call__(self):
        self.opened += 1
        return self.opened


def test_all_calls_are_made_on_one_connection():
    doors = Doors()
    line = Line(doors, timeout_s=5)
    assert [line.call(lambda store: store) for _ in range(3)] == [1, 1, 1]
    line.close()


def test_a_call_that_is_not_answered_is_given_up_with_its_connection():
    line = Line(Doors(), timeout_s=0.05)
    answer = threading.Event()
    assert line.call(lambda store: store) == 1
    with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.05 s"):
        line.call(lambda _: answer.wait(10))
    assert line.call(lambda store: store, timeout_s=5) == 2
    answer.set()
    line.close()


def test_a_call_may_have_less_time_for_its_answer_than_others():
    line = Line(Doors(), timeout_s=60)
    assert line.call(lambda store: store) == 1
    answer = threading.Event()
    with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.05 s"):
        line.call(lambda _: answer.wait(10), answer_s=0.05)
    answer.set()
    line.close()


def test_a_connection_that_fails_is_replaced():
    line = Line(Doors(), timeout_s=5, name="the store at h:1")

    def fail(_):
        raise RuntimeError("Connection was closed\nframe #0: ...")

    with pytest.raises(StoreUnavailable, match=r"^the store at h:1: Connection was closed$"):
        line.call(fail)
    assert line.call(lambda store: store) == 2
    line.close()


def test_what_a_job_has_to_say_itself_is_not_the_connections_fault():
    line = Line(Doors(), timeout_s=5)

    def refuse(_):
        raise Evicted("out")

    with pytest.raises(Evicted):
        line.call(refuse)
    assert line.call(lambda store: store) == 1
    line.close()


def test_at_the_end_a_call_that_was_given_up_may_come_back_for_a_process_that_ends_amid_it_aborts():
    line, answer, done = Line(Doors(), timeout_s=0.05), threading.Event(), []
    with pytest.raises(StoreUnavailable):
        line.call(lambda _: done.append(answer.wait(60)), timeout_s=0.05)
    line.close()
    assert not done, "it may be that it never comes"
    threading.Timer(0.05, answer.set).start()
    line.close(wait_s=60)
    assert done == [True]


def test_after_the_end_nothing_is_opened():
    line = Line(Doors(), timeout_s=5)
    line.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        line.call(lambda store: store)
