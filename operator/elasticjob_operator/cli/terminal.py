"""What is printed. Containers wrote much of it, and must not steer somebody's terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

INSTEAD = "\N{REPLACEMENT CHARACTER}"


def show(lines: Iterable[str]) -> None:
    """Print the lines."""
    for line in lines:
        print(harmless(line), flush=True)


def complain(sentence: str) -> None:
    """Print one line on standard error."""
    print(f"elasticjob: {harmless(' '.join(sentence.split()))}", file=sys.stderr)


def harmless(line: str) -> str:
    """Return the line without characters that a terminal would obey."""
    expanded = line.expandtabs()
    if expanded.isprintable():
        return expanded
    return "".join(char if char.isprintable() else INSTEAD for char in expanded)
