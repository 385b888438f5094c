"""Pods of an ElasticJob whose store is a TCPStore that the operator runs for them."""

import pytest

from rdzv_client import k8s
from rdzv_client.api import RendezvousParameters


@pytest.fixture
def create(monkeypatch):
    monkeypatch.setenv("RDZV_POD_UID", "uid-0")
    monkeypatch.setenv("RDZV_POD_NAME", "pod-0")
    monkeypatch.setenv("RDZV_SLOT", "0")
    monkeypatch.setenv("PET_LOCAL_ADDR", "127.0.0.1")
    return lambda endpoint: k8s.create_handler(
        RendezvousParameters("k8s", endpoint, "pods", 1, 1, join_timeout=1, close_timeout=1)
    )


def test_they_meet_in_it(create, shared_tcp_store):
    handler = create(f"c10d://127.0.0.1:{shared_tcp_store.server.port}")
    info = handler.next_rendezvous()
    assert (handler.get_backend(), info.rank, info.world_size) == ("k8s", 0, 1)
    assert handler.shutdown()


def test_they_never_host_it_themselves(create, fragile_table):
    from rdzv_client.api import RendezvousConnectionError

    address = fragile_table.store.vanish()
    with pytest.raises(RendezvousConnectionError, match=address):
        create(f"c10d://{address}").next_rendezvous()


@pytest.mark.parametrize("endpoint", ["c10d://", "c10d://host:port", "c10d://a,b", "c10d:host"])
def test_an_address_that_is_none_is_refused(create, endpoint):
    with pytest.raises(ValueError, match="endpoint"):
        create(endpoint)
