"""Workers of torchrun agents whose only address is IPv6 find each other."""

import os
import subprocess
import sys

import ipv6
import pytest
from etcd_server import Etcd
from ipv6 import HERE

pytest.importorskip("torch", reason="the training environment is not installed")

pytestmark = ipv6.needed

LIMIT_S = 120
SCRIPT = """
import os
import torch
import torch.distributed as dist
dist.init_process_group("gloo")
total = torch.ones(1)
dist.all_reduce(total)
print("seen:", os.environ["MASTER_ADDR"], int(total.item()))
dist.destroy_process_group()
"""


def test_two_agents_train_together_at_ipv6_addresses(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    etcd = Etcd(tmp_path, host=f"[{HERE}]", listens="0.0.0.0").start()
    agents = [start(script, index, etcd.url) for index in range(2)]
    try:
        said = [agent.communicate(timeout=LIMIT_S)[0] for agent in agents]
    finally:
        for agent in agents:
            agent.kill()
        etcd.kill()
    for text in said:
        assert f"seen: {HERE} 2" in text, text


def start(script, index, url):
    """Start an agent in the environment that the operator gives it."""
    environment = {
        **os.environ,
        "RDZV_POD_UID": f"uid-{index}",
        "RDZV_POD_NAME": f"digits-{index}-0",
        "RDZV_SLOT": str(index),
        "PET_LOCAL_ADDR": HERE,
        "PET_RDZV_BACKEND": "k8s",
        "PET_RDZV_ENDPOINT": url.replace("http", "etcd", 1),
        "PET_RDZV_ID": "run",
        "PET_NNODES": "2:2",
        "PET_NPROC_PER_NODE": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "rdzv_client.run", str(script)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
