"""All that the operator and a process without torch use is there without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULES = [
    "rdzv_client",
    "rdzv_client.api",
    "rdzv_client.backends.blob",
    "rdzv_client.backends.c10d",
    "rdzv_client.backends.etcd",
    "rdzv_client.backends.memory",
    "rdzv_client.c10d_host",
    "rdzv_client.etcdv3",
    "rdzv_client.identity",
    "rdzv_client.k8s",
    "rdzv_client.options",
    "rdzv_client.plugins",
    "rdzv_client.protocol",
    "rdzv_client.registry",
    "rdzv_client.run",
    "rdzv_client.session",
    "rdzv_client.testing",
    "rdzv_client.utils",
    "rdzv_client.wire",
]


def run(source, *arguments):
    """Run Python where torch cannot be imported."""
    blocked = f"import sys; sys.modules['torch'] = None\n{source}"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", blocked, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_imported(module):
    done = run(f"import {module}")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package_has_all_its_names():
    done = run(
        "from rdzv_client import *; import rdzv_client;"
        "print(*sorted(set(rdzv_client.__all__) - set(dir())))"
    )
    assert (done.stdout, done.stderr) == ("\n", "")


def test_errors_are_errors_of_our_own():
    done = run("from rdzv_client import api; print(*api.RendezvousClosedError.__bases__)")
    assert done.stdout.split("'")[1::2] == ["rdzv_client.api.RendezvousError", "Exception"]


def test_the_registry_is_full_even_if_only_the_api_is_asked():
    done = run("from rdzv_client.api import rendezvous_handler_registry as r; print(*r._registry)")
    assert set(done.stdout.split()) >= {"c10d", "etcd", "etcd-v3", "k8s", "static"}


def test_a_handler_of_ones_own_is_registered_and_made():
    done = run(
        "from rdzv_client import RendezvousParameters, rendezvous_handler_registry, registry\n"
        "class Handler:\n"
        "    def get_backend(self): return 'here'\n"
        "rendezvous_handler_registry.register('here', lambda params: Handler())\n"
        "params = RendezvousParameters('here', '', '', 1, 1)\n"
        "print(registry.get_rendezvous_handler(params).get_backend())"
    )
    assert (done.stdout, done.stderr) == ("here\n", "")


def test_the_package_itself_imports_next_to_nothing():
    done = run(
        "before = set(sys.modules); import rdzv_client;"
        "print(*{name for name in set(sys.modules) - before if name.startswith('rdzv_client')})"
    )
    assert done.stdout == "rdzv_client\n"


def test_the_launcher_says_that_it_needs_torch():
    done = run("from rdzv_client import run; run.main(sys.argv[1:])", "train.py")
    assert done.returncode == 1
    assert done.stderr.startswith("rdzv_client.run starts torchrun, which needs torch: ")
    assert "Traceback" not in done.stderr


def test_the_host_of_a_store_says_that_it_needs_torch(tmp_path):
    token = tmp_path / "token"
    token.write_text("a-token-that-is-long-enough")
    source = "from rdzv_client import c10d_host; sys.exit(c10d_host.main(sys.argv[1:]))"
    done = run(source, f"--token-file={token}")
    assert done.returncode == 1
    assert done.stderr.startswith("rdzv_client.c10d_host: the store is torch's, and ")
    assert "Traceback" not in done.stderr
