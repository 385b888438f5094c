"""Pods whose only addresses are IPv6: as the operator starts them, on a real etcd and TCPStore."""

import ipv6
import pytest
from etcd_server import Etcd
from ipv6 import HERE
from rounds import Entry

pytest.importorskip("torch", reason="the training environment is not installed")

pytestmark = ipv6.needed


@pytest.fixture
def etcd_endpoint(tmp_path):
    """Of an etcd that listens as that of a job does."""
    etcd = Etcd(tmp_path, host=f"[{HERE}]", listens="0.0.0.0").start()
    yield etcd.url.replace("http", "etcd", 1)
    etcd.kill()


@pytest.fixture
def c10d_endpoint():
    from torch.distributed import TCPStore

    store = TCPStore(HERE, 0, is_master=True, wait_for_workers=False)
    yield f"c10d://[{HERE}]:{store.port}"
    del store


@pytest.mark.parametrize("endpoint", ["etcd_endpoint", "c10d_endpoint"])
def test_pods_with_ipv6_addresses_form_a_round_and_share_its_store(endpoint, request, monkeypatch):
    from torch.distributed.elastic.rendezvous import RendezvousParameters

    from rdzv_client import k8s

    address = request.getfixturevalue(endpoint)
    handlers = []
    for index in range(2):
        for name, value in {
            "RDZV_POD_UID": f"uid-{index}",
            "RDZV_POD_NAME": f"digits-{index}-0",
            "RDZV_SLOT": str(index),
        }.items():
            monkeypatch.setenv(name, value)
        chosen = RendezvousParameters("k8s", address, "run", 2, 2, local_addr=HERE)
        handlers.append(k8s.create_handler(chosen))
    try:
        first, second = (entry.result() for entry in [Entry(handler) for handler in handlers])
        assert first.bootstrap_store_info.master_addr == HERE
        first.store.set("key", "value")
        assert second.store.get("key") == b"value"
    finally:
        for handler in handlers:
            handler.shutdown()
