"""Delays that double."""

from __future__ import annotations

MAX_DOUBLINGS = 32


def delay_s(first_s: float, failures: int, most_s: float) -> float:
    """Return how long to wait after so many failures in a row: first, twice, four times ...

    Args:
        first_s: After the first failure.
        failures: How many there were, at least 1.
        most_s: Never longer.
    """
    return float(min(first_s * 2 ** min(failures - 1, MAX_DOUBLINGS), most_s))
