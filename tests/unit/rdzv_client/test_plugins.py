"""What torchrun's users are told: every option by name, and where the store should have been."""

import pytest
from etcd_server import free_ports

pytest.importorskip("torch", reason="the training environment is not installed")

from torch.distributed.elastic.rendezvous import RendezvousParameters as TorchsParameters

from rdzv_client import api, plugins

CREATORS = {
    "etcd-v3": plugins.create_etcd_handler,
    "c10d-v2": plugins.create_c10d_handler,
}


def create(backend, endpoint="localhost:1", **config):
    """As torchrun does it: with torch's own parameters."""
    return CREATORS[backend](TorchsParameters(backend, endpoint, "run", 1, 2, **config))


@pytest.mark.parametrize(
    ("backend", "config", "words"),
    [
        ("etcd-v3", {"lease_tll": "3"}, "unknown .* lease_tll='3': did you mean lease_ttl[?]"),
        ("c10d-v2", {"lease_tll": "3"}, "unknown .* lease_tll='3': did you mean lease_ttl[?]"),
        ("c10d-v2", {"color": "red"}, "unknown .* color='red': known are .*, store_type"),
        ("c10d-v2", {"ca_cert": "f"}, "unknown rendezvous option ca_cert='f'"),
        ("etcd-v3", {"protocol": "ftp"}, "^the .* option protocol='ftp' must be http or https$"),
        ("etcd-v3", {"read_timeout": "0"}, "read_timeout='0' must be .*, at least 1$"),
        ("c10d-v2", {"read_timeout": "-1"}, "read_timeout='-1' must be .*, at least 1$"),
        ("c10d-v2", {"read_timeout": "2.5"}, "read_timeout='2.5' must be a whole number$"),
        ("c10d-v2", {"is_host": "maybe"}, "is_host='maybe' must be one of .*, no, .*, yes$"),
        ("c10d-v2", {"store_type": "etcd"}, "store_type='etcd' must be tcp or file$"),
        ("c10d-v2", {"store_type": 3}, "store_type=3 must be tcp or file$"),
    ],
)
def test_a_wrong_option_is_refused_with_its_name_its_value_and_what_is_allowed(
    backend, config, words
):
    with pytest.raises(ValueError, match=words):
        create(backend, **config)


@pytest.mark.parametrize("backend", CREATORS)
def test_a_store_that_cannot_be_reached_is_named(backend):
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    options = {"is_host": "false"} if backend == "c10d-v2" else {}
    words = f"the rendezvous endpoint '{endpoint}' of backend '{backend}' cannot be reached: "
    with pytest.raises(api.RendezvousConnectionError, match=words):
        create(backend, endpoint, read_timeout="1", **options)


def test_who_gives_no_id_is_warned_of_others_who_give_none(tmp_path, caplog):
    params = TorchsParameters("c10d-v2", f"{tmp_path}/store", "none", 1, 2, store_type="file")
    plugins.create_c10d_handler(params)
    assert "no --rdzv-id: all jobs without one meet in the run 'none'" in caplog.text
