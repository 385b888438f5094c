"""Workers without torch form a round on a real etcd and end together."""

import os
import subprocess
import sys

from rdzv_client import wire
from rdzv_client.etcdv3 import Client

# As in an image that has no torch.
COMMAND = (
    "import sys; sys.modules['torch'] = None; import rdzv_client.rehearsal as r; sys.exit(r.main())"
)
LIMIT_S = 60


def start(url, index, **more):
    environ = {
        **os.environ,
        "PET_RDZV_ENDPOINT": url.replace("http://", "etcd://"),
        "PET_RDZV_ID": "rehearsal-0",
        "PET_RDZV_CONF": "join_timeout=40,lease_ttl=5",
        "PET_NNODES": "2:2",
        "PET_LOCAL_ADDR": "127.0.0.1",
        "RDZV_POD_NAME": f"rehearsal-{index}-0",
        "RDZV_POD_UID": f"uid-{index}",
        "RDZV_SLOT": str(index),
        **more,
    }
    command = [sys.executable, "-c", COMMAND]
    return subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)


def end(process):
    _, said = process.communicate(timeout=LIMIT_S)
    return process.returncode, said


def test_two_workers_form_a_round_and_end_with_success(etcd):
    settings = wire.Settings(seq=1, min_nodes=2, max_nodes=2, expected_nodes=2)
    keys = wire.Keys("rehearsal-0")
    with Client([etcd.url]) as client:
        client.put(keys.settings, wire.encode(settings))
        ended = [end(process) for process in [start(etcd.url, index) for index in range(2)]]
        assert [status for status, _ in ended] == [0, 0], ended
        assert sorted("rank 0 of 2" in said for _, said in ended) == [False, True], ended
        round_ = wire.decode(wire.Round, keys.round, client.get(keys.round).value)
        assert (round_.number, round_.world_size, round_.phase) == (1, 2, "closed")
        left = client.get_prefix(keys.left_prefix).kvs
        causes = {wire.decode(wire.Left, kv.key, kv.value).cause for kv in left}
        assert causes <= {"finished"}


def test_one_alone_says_what_it_waited_for(etcd):
    status, said = end(start(etcd.url, 0, PET_RDZV_CONF="join_timeout=2"))
    assert status == 1
    assert "no place in a round: " in said
    assert "Traceback" not in said


def test_a_store_of_another_kind_is_refused_in_words(etcd):
    status, said = end(start(etcd.url, 0, PET_RDZV_ENDPOINT="c10d://127.0.0.1:1"))
    assert status == 1
    assert "must be etcd://HOST:PORT" in said
