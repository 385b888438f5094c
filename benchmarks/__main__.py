"""``python -m benchmarks``: ours and the peers by turns, in one run on one machine.

Writes ``build/bench.json``, draws how time and bytes grow, and prints a table.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from benchmarks import chart, table
from benchmarks.comparison import Case, Row, compare

_MODULES: Final = (
    "formation",
    "changes",
    "idle",
    "store_ops",
    "simulated",
    "operator",
    "training",
)
_BUILD: Final = Path("build")


@dataclass(frozen=True)
class Pace:
    """How much time there is.

    Attributes:
        limit_s: For any one measurement.
        late_after_s: From then on each is made once, so that the whole run ends in time.
    """

    limit_s: float
    late_after_s: float


_QUICK: Final = Pace(limit_s=30.0, late_after_s=30.0)
_FULL: Final = Pace(limit_s=120.0, late_after_s=16 * 60.0)


def main() -> int:
    """Measure what was asked for; return the exit status."""
    arguments = _arguments()
    # To connect to a TCPStore looks up the peer's name. A DNS that does not answer, or not to many
    # at once, would be measured with it: nobody asks one.
    os.environ.setdefault("RES_OPTIONS", "attempts:0")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # it would say so each time
    wanted = _only(_cases(quick=arguments.quick), arguments.only)
    if arguments.sizes:
        wanted = [replace(case, sizes=arguments.sizes) for case in wanted]
    if not wanted:
        sys.exit(f"no case is called {' or '.join(arguments.only)}")
    began, load = time.monotonic(), os.getloadavg()
    rows: list[Row] = []
    status = 0
    try:
        rows.extend(_measure(wanted, _QUICK if arguments.quick else _FULL, arguments.chart))
    except KeyboardInterrupt:
        print("interrupted; what was measured so far:", file=sys.stderr)
        status = 130
    print(table.of(rows))
    print(
        f"{time.monotonic() - began:.0f} s; load {load[0]:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after; {os.cpu_count()} cores"
    )
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    parser.add_argument(
        "--only",
        nargs="+",
        default=["*"],
        metavar="CASE",
        help="only those with such a name, e.g. 'leave/*'",
    )
    parser.add_argument("--sizes", type=_sizes, help="these sizes instead, e.g. 2,8")
    parser.add_argument(
        "--chart",
        type=Path,
        default=_BUILD / "growth.svg",
        help="where the curves are drawn (default: %(default)s)",
    )
    return parser.parse_args()


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _cases(*, quick: bool) -> list[Case]:
    modules = [importlib.import_module(f"benchmarks.cases.{name}") for name in _MODULES]
    return [case for module in modules for case in module.cases(quick=quick)]


def _only(cases: Iterable[Case], names: Iterable[str]) -> list[Case]:
    def wanted(name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in names)

    return [case for each in cases if (case := each.only(wanted)).ours]


def _measure(cases: Iterable[Case], pace: Pace, drawing: Path) -> Iterable[Row]:
    """Measure; what is there is written after each row, so that a run cut short is not lost."""
    _BUILD.mkdir(exist_ok=True)
    interrupt, late_at = _Interrupt(), time.monotonic() + pace.late_after_s

    def is_late() -> bool:
        interrupt.check()
        return time.monotonic() > late_at

    rows: list[Row] = []
    for case in cases:
        for row in compare(case, pace.limit_s, is_late):
            rows.append(row)
            document = json.dumps([row.document() for row in rows], indent=1)
            (_BUILD / "bench.json").write_text(document + "\n")
            if chart.shows(row):
                drawing.write_text(chart.growth(rows))
            yield row


class _Interrupt:
    """Ctrl-C, also where Python drops the exception, as it does in what is called at a fork."""

    def __init__(self) -> None:
        self._came = False
        signal.signal(signal.SIGINT, self._come)

    def _come(self, *_: object) -> None:
        self._came = True
        raise KeyboardInterrupt

    def check(self) -> None:
        if self._came:
            raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
