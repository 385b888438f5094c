"""Many members over one TCPStore: what a round costs each does not grow with their number."""

import threading
from contextlib import ExitStack

from rounds import Run, enter

from rdzv_client.backends.c10d import jobs
from rdzv_client.backends.c10d.pulses import Pulses

MEMBERS = 64


class Meter:
    """An endpoint whose connections count their operations, and the bytes of these."""

    def __init__(self, endpoint):
        self._endpoint, self.name = endpoint, endpoint.name
        self.operations = self.bytes = 0

    def open(self):
        return Metered(self._endpoint.open(), self)

    def connect(self):
        return Metered(self._endpoint.connect(), self)

    def is_there(self):
        return self._endpoint.is_there()


class Metered:
    def __init__(self, store, meter):
        self._store, self._meter = store, meter

    def __getattr__(self, name):
        operation = getattr(self._store, name)

        def metered(*args):
            result = operation(*args)
            self._meter.operations += 1
            self._meter.bytes += size(args) + size(result)
            return result

        return metered


def size(value):
    if isinstance(value, (list, tuple)):
        return sum(map(size, value))
    return len(value) if isinstance(value, (str, bytes)) else 8


def cost_of_a_round(table, count):
    """Have so many members come and form a round; return the mean operations and bytes."""
    meter = Meter(table.store.endpoint())
    seats = [table.seat(f"member-{number}", meter) for number in range(count)]
    seats[0].register().lead()
    threads = [threading.Thread(target=seat.register) for seat in seats[1:]]
    for thread in threads:
        thread.start()
    seats[0].until(lambda: len(seats[0].members()) == count)
    assert seats[0].publish(1, *[seat.record.id for seat in seats])
    for seat in seats:
        seat.until(lambda seat=seat: seat.number() == 1)
        seat.backend.stop()
    return meter.operations / count, meter.bytes / count


def test_the_cost_for_each_does_not_grow_with_their_number(new_table):
    few = cost_of_a_round(new_table(), 8)
    many = cost_of_a_round(new_table(), MEMBERS)
    print(f"for each of 8 and of {MEMBERS}: operations and bytes {few}, {many}")
    assert many[0] < 1.5 * few[0]
    assert many[1] < 1.5 * few[1]


def test_a_beat_costs_few_bytes_the_leaders_look_at_all_included(new_table):
    table, beats = new_table(), 4
    seats = [table.seat(f"member-{number}").register() for number in range(8)]
    seats[0].lead().until(lambda: len(seats[0].members()) == len(seats))
    meter = Meter(table.store.endpoint())
    store, all_pulses = meter.open(), [Pulses(60.0) for _ in seats]
    for _ in range(beats):
        for seat, pulses in zip(seats, all_pulses, strict=True):
            jobs.beat(store, seat.backend._seat, pulses)
    assert meter.bytes < 100 * beats * len(seats)


def test_they_form_a_round_and_another_one_when_one_comes_back(shared_tcp_store):
    with ExitStack() as stack:
        run = Run(shared_tcp_store, stack, lease_ttl=5)
        bounds = {"min_nodes": MEMBERS, "max_nodes": MEMBERS}
        handlers = [run.member(f"m{number}", **bounds) for number in range(MEMBERS)]
        for _ in range(2):
            infos = enter(*handlers)
            assert sorted(info.rank for info in infos) == list(range(MEMBERS))
            assert len({info.bootstrap_store_info.master_port for info in infos}) == 1
