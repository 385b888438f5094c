"""A leader whose decision hangs shows no life any longer, and another member leads."""

import threading
from contextlib import ExitStack, closing

import pytest
import stores
from rounds import Run, enter

pytest.importorskip("torch", reason="the training environment is not installed")

LIMIT_S = 40.0  # it is given up after a few leases without progress


def test_it_is_lost_although_its_keep_alive_could_go_on(shared_etcd):
    freed = threading.Event()
    with closing(stores.EtcdRuns(shared_etcd)) as store, ExitStack() as stack:
        stack.callback(freed.set)
        run = Run(store, stack)
        run.settings(expected=3)
        members = [run.member(name, slot) for slot, name in enumerate("abc")]
        enter(*members)
        (leader,) = (m for m in members if m._session.backend.leading)
        others = [m for m in members if m is not leader]
        hangs(leader._session, freed)
        for member in others:
            assert member._session.wait(lambda m=member: m.num_nodes_waiting() == 1, LIMIT_S)
        assert [info.world_size for info in enter(*others)] == [2, 2]


def hangs(session, freed):
    def hang():
        freed.wait()
        return float("inf")

    session._advance = hang
