"""``python -m rdzv_client.c10d_host``: host a job's TCPStore, and the operator's bridge to it.

The members of a job meet in the store at the one port; the operator, which has no torch, sees and
writes at the other one (:mod:`rdzv_client.backends.c10d.bridge`). Nothing is kept: a host that was
replaced is filled again by the members, with what they know, and by the operator.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from rdzv_client.backends.c10d.bridge import Bridge
from rdzv_client.backends.c10d.host import Host

log = logging.getLogger("rdzv_client.c10d_host")

STORE_PORT: Final = 29400
BRIDGE_PORT: Final = 29401
SEED_WAIT_S: Final = 30.0
LEAST_TOKEN: Final = 16
TIMEOUT_S: Final = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Host until the process is told to end; return the exit status."""
    chosen = _parser().parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    try:
        _read_token(chosen.token_file)
        ended = _serve(chosen)
    except ImportError as error:
        words = f"the store is torch's, and {sys.executable} has no torch: {error}"
        print(f"rdzv_client.c10d_host: {words}", file=sys.stderr)  # noqa: T201
        return 1
    except (OSError, RuntimeError, ValueError) as error:
        words = str(error).split("\n", 1)[0]
        print(f"rdzv_client.c10d_host: {words}", file=sys.stderr)  # noqa: T201
        return 1
    return ended


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rdzv_client.c10d_host",
        description="Host a job's TCPStore, and an operator's HTTP bridge to it.",
    )
    add = parser.add_argument
    add("--port", type=_port, default=STORE_PORT, help="the store's port (%(default)s)")
    add("--bridge-port", type=_port, default=BRIDGE_PORT, help="the bridge's port (%(default)s)")
    file = f"holds the bridge's token of at least {LEAST_TOKEN} characters; read for each request"
    add("--token-file", type=Path, required=True, help=file)
    seed_wait = "how long to be not ready at most, until an operator has seeded a run (%(default)s)"
    add("--seed-wait", type=float, default=SEED_WAIT_S, metavar="SECONDS", help=seed_wait)
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def _read_token(path: Path) -> str:
    token = path.read_text().strip()
    if len(token) < LEAST_TOKEN:
        raise ValueError(
            f"the token in {path} has {len(token)} characters; at least {LEAST_TOKEN} are needed"
        )
    return token


def _serve(chosen: argparse.Namespace) -> int:
    from torch.distributed import TCPStore  # noqa: PLC0415 - what is refused needs no torch

    from rdzv_client.tcp_store import Endpoint  # noqa: PLC0415

    done, faults = threading.Event(), list[str]()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())

    def fail(error: Exception) -> None:
        faults.append(str(error).split("\n", 1)[0])
        done.set()

    store = TCPStore(
        "localhost",
        chosen.port,
        is_master=True,
        wait_for_workers=False,
        timeout=timedelta(seconds=TIMEOUT_S),
    )
    endpoint = Endpoint("localhost", chosen.port, TIMEOUT_S, hosted=store)
    host = Host(endpoint.connect, lambda: _read_token(chosen.token_file), chosen.seed_wait, fail)
    bridge = Bridge(host, chosen.bridge_port)
    threading.Thread(target=bridge.serve_forever, daemon=True).start()
    log.info("The store listens on port %d, the bridge on %d.", chosen.port, chosen.bridge_port)
    done.wait()
    if faults:
        log.error("The store is lost: %s", faults[0])
    sys.stderr.flush()
    # Threads that are inside torch now would have the process aborted.
    os._exit(1 if faults else 0)


if __name__ == "__main__":
    sys.exit(main())
