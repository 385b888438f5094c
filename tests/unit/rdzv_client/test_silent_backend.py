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
