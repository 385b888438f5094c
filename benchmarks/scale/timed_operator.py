"""``python -m benchmarks.scale.timed_operator FILE``: the operator as it is, with its looks timed.

Each look at a job adds a line to the file: when it began (monotonic), how long it took, which job.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from elasticjob_operator import __main__ as operator
from elasticjob_operator.reconcile import Reconciler
from elasticjob_operator.workqueue import Key


def main() -> int:
    """Run the operator."""
    look = Reconciler.reconcile
    with Path(sys.argv[1]).open("a", buffering=1, encoding="utf-8") as lines:

        async def timed(self: Reconciler, key: Key) -> float | None:
            began = time.monotonic()
            try:
                return await look(self, key)
            finally:
                lines.write(f"{began} {time.monotonic() - began} {key}\n")

        Reconciler.reconcile = timed  # type: ignore[method-assign]
        return operator.main([])


if __name__ == "__main__":
    sys.exit(main())
