"""A backend may leave open whether it wrote: ``set_state`` returns None, also when it did."""

import concurrent.futures

import pytest

pytest.importorskip("torch", reason="the training environment is not installed")

from rdzv_client import api
from rdzv_client.backends.memory import MemoryBackend
from rdzv_client.dynamic_rendezvous import create_handler


class Silent(MemoryBackend):
    def set_state(self, state, token=None):
        super().set_state(state, token)


def test_a_round_is_formed_over_a_backend_that_does_not_say_whether_it_wrote():
    backend = Silent()
    params = api.RendezvousParameters("memory", "", "run", 2, 2, "127.0.0.1", join_timeout=30)
    handlers = [create_handler(None, backend, params) for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        rounds = list(pool.map(lambda handler: handler.next_rendezvous(), handlers))
        assert sorted((each.rank, each.world_size) for each in rounds) == [(0, 2), (1, 2)]
        assert all(pool.map(lambda handler: handler.shutdown(), handlers))


SHORT = {f"{name}_timeout": 1 for name in ("join", "close", "read", "heartbeat", "agreement")}


class Forgetful(MemoryBackend):
    def get_state(self):
        return None

    def set_state(self, state, token=None):
        return None


def test_one_node_alone_needs_no_backend_that_keeps_anything():
    params = api.RendezvousParameters("memory", "", "run", 1, 1, "127.0.0.2", join_timeout=30)
    handler = create_handler(None, Forgetful(), params)
    info = handler.next_rendezvous()
    assert (info.rank, info.world_size) == (0, 1)
    assert info.bootstrap_store_info.master_addr == "127.0.0.2"
    assert handler.shutdown()


def test_two_nodes_do():
    params = api.RendezvousParameters("memory", "", "run", 1, 2, "127.0.0.2", **SHORT)
    handler = create_handler(None, Forgetful(), params)
    with pytest.raises(api.RendezvousConnectionError, match="the backend did not answer"):
        handler.next_rendezvous()
    handler.shutdown()
