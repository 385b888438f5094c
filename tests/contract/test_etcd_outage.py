"""A run outlives its etcd, also where the watch was given up before the server came back."""

from contextlib import ExitStack, closing

import pytest
import stores
from rounds import LIMIT_S, Run, enter

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
