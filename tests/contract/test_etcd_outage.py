"""A run outlives its etcd, also where the watch was given up before the server came back."""

import threading
from contextlib import ExitStack, closing

import pytest
import stores
from rounds import LIMIT_S, Run, enter

from rdzv_client import etcdv3
from rdzv_client.backends.etcd.registration import Registration

pytest.importorskip("torch", reason="the training environment is not installed")

OUTAGE_S = 4.0


@pytest.fixture
def run(etcd):
    with closing(stores.EtcdRuns(etcd)) as store, ExitStack() as stack:
        yield Run(store, stack)


@pytest.mark.parametrize("token", ["first", "second"])
def test_an_etcd_that_comes_back_empty_after_a_while_is_given_its_round_again(run, etcd, token):
    """It is the same cluster by its id, or another one."""
    run.settings(expected=2)
    a, b = run.member("a", 0), run.member("b", 1)
    enter(a, b)
    before = a._session.round
    etcd.empty(token=token)
    assert not a._session.wait(lambda: a.num_nodes_waiting() == 1, OUTAGE_S)
    etcd.start()
    assert not a._session.wait(lambda: a.num_nodes_waiting() == 1, 4)
    assert run.store.round(run.keys) == before
    a._finish()
    b._finish()
    assert a._settled(LIMIT_S)
    assert b._settled(LIMIT_S)


def test_a_lease_is_kept_alive_while_an_etcd_that_is_slow_writes_the_record(run, monkeypatch):
    """Else it runs out meanwhile, the member registers again, and etcd has still more to do."""
    beaten = threading.Event()
    beat, register = etcdv3.KeepAlive.beat, Registration.register

    def note(keep_alive, *args):
        beat(keep_alive, *args)
        beaten.set()

    def slowly(registration, *args):
        assert beaten.wait(LIMIT_S)
        return register(registration, *args)

    monkeypatch.setattr(etcdv3.KeepAlive, "beat", note)
    monkeypatch.setattr(Registration, "register", slowly)
    enter(run.member("a", 0, min_nodes=1, max_nodes=1))
