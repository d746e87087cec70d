"""A histogram of durations with logarithmic bins: 40 a decade from 1 us, 360 bins to 1000 s (docs/run-format.md)."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

BINS: Final = 360
BINS_A_DECADE: Final = 40
_MICROSECONDS: Final = 1e6


def upper_edge_s(index: int) -> float:
    """Where bin ``index`` ends, in seconds."""
    return float(10 ** ((index + 1) / BINS_A_DECADE)) / _MICROSECONDS


# All but the last: what is longer than 1000 s is in the last bin too.
_EDGES_S: Final = [upper_edge_s(index) for index in range(BINS - 1)]


def log_bin(seconds: float) -> int:
    """The bin of a duration: ``clip(floor(40 * log10(us)), 0, 359)``."""
    return bisect_right(_EDGES_S, seconds)


class LogHistogram:
    """Counts by bin, and the sum of what was counted, in seconds. Bins and sum only grow."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * BINS
        self.sum_s = 0.0

    @property
    def count(self) -> int:
        """Durations counted."""
        return sum(self.counts)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_right(_EDGES_S, seconds)] += 1
        self.sum_s += seconds
