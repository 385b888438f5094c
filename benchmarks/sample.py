"""Several figures that one measurement gives at once."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence

from benchmarks.comparison import Measure, NotMeasured


class Sample:
    """Measures once for all figures, and gives out each of them once.

    Args:
        measure: Gives the figures by name, of one run or of several, for a size and within so
            many seconds.
    """

    def __init__(self, measure: Callable[[int, float], Sequence[Mapping[str, float]]]) -> None:
        self._measure = measure
        self._there: dict[tuple[int, str], deque[float]] = defaultdict(deque)
        self._failed: dict[int, NotMeasured] = {}

    def of(self, name: str) -> Measure:
        """Return what measures the figure of this name."""

        def measure(n: int, limit_s: float) -> float:
            if n in self._failed:
                raise self._failed[n]
            if not self._there[n, name]:
                self._take(n, limit_s)
            return self._there[n, name].popleft()

        return measure

    def _take(self, n: int, limit_s: float) -> None:
        try:
            runs = self._measure(n, limit_s)
        except NotMeasured as error:
            self._failed[n] = error
            raise
        for figures in runs:
            for name, figure in figures.items():
                self._there[n, name].append(figure)
