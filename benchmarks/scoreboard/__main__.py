"""Plays the situations with torch's rendezvous and ours.

``python -m benchmarks.scoreboard [S1 ...]`` plays all, or those named, prints a table, and
writes ``build/scoreboard.json``.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from benchmarks.scoreboard.contenders import C10D, ETCD, TORCH, Contender
from benchmarks.scoreboard.outcome import Outcome
from benchmarks.scoreboard.situations import SITUATIONS, Situation

REPORT: Final = Path(__file__).parents[2] / "build" / "scoreboard.json"
CONTENDERS: Final = (TORCH, ETCD, C10D)
_HEADS: Final = ("#", "situation", *(contender.name for contender in CONTENDERS), "target")
_WIDTHS: Final = (3, 30, 20, 20, 20, 22)


def main(names: Sequence[str]) -> int:
    """Play the named situations, or all. Return 1 if ours missed a target, else 0."""
    known = {situation.name for situation in SITUATIONS}
    if unknown := sorted(set(names) - known):
        print(
            f"{unknown[0]} is no situation; there are {', '.join(sorted(known))}", file=sys.stderr
        )
        return 2
    began = time.monotonic()
    print(f"torch {torch.__version__}; + target met, - missed")
    _print_row(*_HEADS)
    played = [_play_all(s) for s in SITUATIONS if s.name in names or not names]
    rows = [row for row, _ in played]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"\n{time.monotonic() - began:.0f} s; what was seen in words: {REPORT}")
    missed = [str(row["name"]) for row, ok in played if not ok]
    if missed:
        print(f"MISSED by ours: {', '.join(missed)}")
    return 1 if missed else 0


def _play_all(situation: Situation) -> tuple[dict[str, object], bool]:
    """Play it with everybody; return what is to be reported, and whether ours met the target."""
    outcomes = {c: _play(situation, c) for c in CONTENDERS}
    cells = [f"{'+' if o.ok else '-'} {o.figure}" if o else "" for o in outcomes.values()]
    _print_row(situation.name, situation.title, *cells, situation.target)
    report: dict[str, object] = {
        "name": situation.name,
        "title": situation.title,
        "target": situation.target,
        "outcomes": {c.name: dataclasses.asdict(o) for c, o in outcomes.items() if o},
    }
    return report, all(o.ok for c, o in outcomes.items() if o and c.ours)


def _play(situation: Situation, contender: Contender) -> Outcome | None:
    if contender.ours and contender.store not in situation.stores:
        return None
    try:
        return situation.play(contender)
    except RuntimeError as error:
        return Outcome(False, "does not start", str(error))


def _print_row(*cells: str) -> None:
    padded = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)]
    print(" | ".join(padded).rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
