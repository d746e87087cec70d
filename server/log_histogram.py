"""A histogram of durations with logarithmic bins: 40 a decade from 1 us, 360 bins to 1000 s (docs/run-format.md)."""

from __future__ import annotations

from math import log10
from typing import Final

BINS: Final = 360
BINS_A_DECADE: Final = 40
_MICROSECONDS: Final = 1e6


def log_bin(seconds: float) -> int:
    """The bin of a duration: ``clip(floor(40 * log10(us)), 0, 359)``."""
    if seconds <= 1e-6:
        return 0
    found = int(BINS_A_DECADE * log10(seconds * _MICROSECONDS))
    return found if found < BINS else BINS - 1


def upper_edge_s(index: int) -> float:
    """Where bin ``index`` ends, in seconds."""
    return float(10 ** ((index + 1) / BINS_A_DECADE)) / _MICROSECONDS


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
        self.counts[log_bin(seconds)] += 1
        self.sum_s += seconds
