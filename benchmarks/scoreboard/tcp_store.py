"""A TCPStore in a process of its own: ``python -m benchmarks.scoreboard.tcp_store PORT``."""

from __future__ import annotations

import signal
import sys

from torch.distributed import TCPStore


def main() -> None:
    """Serve until killed; a line on the standard output says that it listens."""
    store = TCPStore("127.0.0.1", int(sys.argv[1]), is_master=True, wait_for_workers=False)
    print(f"listening on {store.port}", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
