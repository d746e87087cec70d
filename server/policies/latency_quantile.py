"""A live quantile of latencies in constant memory: a histogram of logarithmic bins that slowly forgets."""

from __future__ import annotations

import math

_BINS_A_DECADE = 40
_FIRST_S = 1e-6
_BINS = 9 * _BINS_A_DECADE  # 1 us to 1000 s


class LatencyQuantile:
    """The ``quantile`` of recent latencies, as the upper edge of its bin: at most 5.9% above the true one.

    Counts are halved whenever they sum to ``memory``, so the last ``memory`` or so latencies weigh most. The value is
    worked out again at most once every 32 records.
    """

    __slots__ = ("_counts", "_memory", "_quantile", "_stale_after", "_total", "_value_s")

    def __init__(self, *, quantile: float = 0.95, memory: int = 2000) -> None:
        if not 0 < quantile < 1 or memory < 1:
            raise ValueError("a latency quantile needs 0 < quantile < 1 and memory >= 1")
        self._quantile = quantile
        self._memory = memory
        self._counts = [0] * _BINS
        self._total = 0
        self._stale_after = 0
        self._value_s = 0.0

    def record(self, latency_s: float) -> None:
        """Add one latency in seconds."""
        index = int(_BINS_A_DECADE * math.log10(latency_s / _FIRST_S)) if latency_s > _FIRST_S else 0
        self._counts[min(index, _BINS - 1)] += 1
        self._total += 1
        self._stale_after -= 1
        if self._total >= self._memory:
            self._counts = [count >> 1 for count in self._counts]
            self._total = sum(self._counts)

    @property
    def samples(self) -> int:
        """Latencies it rests on now."""
        return self._total

    def value_s(self) -> float:
        """The quantile in seconds, 0.0 before the first record."""
        if self._stale_after <= 0 and self._total:
            rank = math.ceil(self._quantile * self._total)
            seen = 0
            for index, count in enumerate(self._counts):
                seen += count
                if seen >= rank:
                    self._value_s = _FIRST_S * 10.0 ** ((index + 1) / _BINS_A_DECADE)
                    break
            self._stale_after = 32
        return self._value_s
