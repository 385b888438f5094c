"""Situations about what stands in a store, and about the key-value store itself."""

from __future__ import annotations

import importlib
import os
import pickle
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.scoreboard.contenders import Contender
from benchmarks.scoreboard.job import Job
from benchmarks.scoreboard.membership import ONE, TWO, started
from benchmarks.scoreboard.outcome import Outcome
from localcluster import binaries

STEADY_S = 4.0
FOREIGN = (10, 1000, 4000)
READS = 50


class Touch:
    """Pickled, it makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self._path),))


def hostile_state(contender: Contender) -> Outcome:
    """Everything that stands in the store under the job is replaced by a pickle with an order."""
    with Job(contender, "1:2", apart=True) as job:
        (a,) = started(job, ONE)
        proof = job.folder / "obeyed"
        poisoned = job.place.poison(job.run_id, pickle.dumps(Touch(proof)))
        mark = job.now()
        b = job.start(TWO, conf={"join_timeout": 5})
        job.attempted(b)
        job.wait(lambda: job.ended(b) or proof.exists(), job.limit_s)
        job.wait(lambda: job.ended(a), STEADY_S)
        # A TCPStore's own counters are poisoned, too; it then drops whoever wants to count on.
        errors = ("RendezvousStateError", "RendezvousConnectionError")
        refused = b.code == 1 and any(error in b.last_error() for error in errors)
        works = not job.ended(a) and bool(job.of(a, "step", mark))
        figure = "code was run" if proof.exists() else "refused" if refused else "not refused"
        ok = poisoned > 0 and refused and works and not proof.exists()
        return Outcome(ok, figure, job.fate())


def store_of_many_keys(contender: Contender) -> Outcome:
    """EtcdStore.get while the same etcd holds 10, 1000 and 4000 keys of others."""
    with ExitStack() as stack:
        store, why = _etcd_store(contender, stack, "/torch/elastic/store")
        if store is None:
            return Outcome(False, "does not run", why)
        times_ms = []
        store.set("key", "value")
        for count in FOREIGN:
            store.multi_set([f"foreign/{i}" for i in range(count)], ["value"] * count)
            times_ms.append(_median_ms(store))
        figure = " / ".join(f"{ms:.2f}" for ms in times_ms) + " ms"
        return Outcome(times_ms[-1] < 3 * times_ms[0], figure, f"foreign keys: {FOREIGN}")


def prefix_without_slash(contender: Contender) -> Outcome:
    """EtcdServer, and an EtcdStore whose prefix has no slash before it."""
    with ExitStack() as stack:
        store, why = _etcd_store(contender, stack, "store")
        if store is None:
            return Outcome(False, "does not run", why)
        store.set_timeout(timedelta(seconds=5))
        store.set("key", "value")
        try:
            got = store.get("key")
        except LookupError:
            return Outcome(False, "hangs", "get does not find what set has written")
        return Outcome(got == b"value", "works", "")


def _etcd_store(contender: Contender, stack: ExitStack, prefix: str) -> tuple[Any, str]:
    """Start an EtcdServer and a store on it; without a store, the reason why there is none."""
    package = "rdzv_client" if contender.ours else "torch.distributed.elastic.rendezvous"
    os.environ["TORCHELASTIC_ETCD_BINARY_PATH"] = str(binaries.ensure(["etcd"])["etcd"])
    try:
        server = importlib.import_module(f"{package}.etcd_server").EtcdServer(
            stack.enter_context(tempfile.TemporaryDirectory())
        )
        server.start(timeout=20, num_retries=1, stderr=subprocess.DEVNULL)
        stack.callback(server.stop)
        client = server.get_client()
        return importlib.import_module(f"{package}.etcd_store").EtcdStore(client, prefix), ""
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
        return None, f"{type(error).__name__}: {error}; the etcd v2 API is gone since etcd 3.6"


def _median_ms(store: Any) -> float:
    times_s = []
    for _ in range(READS):
        began = time.perf_counter()
        store.get("key")
        times_s.append(time.perf_counter() - began)
    return 1000 * statistics.median(times_s)
