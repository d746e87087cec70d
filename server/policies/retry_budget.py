"""A budget for extra calls, so that retries (or hedges) cannot multiply the load of a brownout."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from server.policies.sliding_window import SlidingWindow


class RetryBudgetSnapshot(NamedTuple):
    """``balance`` extra calls could be made now; ``withdrawn`` were made and ``refused`` were not, since the start."""

    balance: float
    withdrawn: int
    refused: int


class RetryBudget:
    """Finagle's rule: over ``window_s``, extra calls stay within ``ratio`` of the calls plus ``min_per_s`` a second.

    An extra call is allowed while ``extra + 1 <= ratio * calls + min_per_s * window_s``, both counted over the window.
    One budget is shared by all callers of one upstream. Source: Finagle, ``RetryBudget`` (20%, 10/s, 10 s).
    """

    __slots__ = ("_clock", "_ratio", "_reserve", "_window", "refused", "withdrawn")

    def __init__(
        self,
        *,
        ratio: float = 0.2,
        min_per_s: float = 10.0,
        window_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if ratio < 0 or min_per_s < 0:
            raise ValueError("a retry budget needs ratio >= 0 and min_per_s >= 0")
        self._ratio = ratio
        self._reserve = min_per_s * window_s
        self._window = SlidingWindow(window_s=window_s, counters=2)
        self._clock = clock
        self.withdrawn = 0
        self.refused = 0

    def deposit(self) -> None:
        """Count one call (not its retries)."""
        clock = self._clock  # a slot called in one go is looked up the slow way
        now, window = clock(), self._window
        totals = window.totals if now < window.slot_ends_at else window.at(now)
        totals[0] += 1

    def withdraw(self) -> bool:
        """Take one extra call; ``False`` if the budget does not allow it."""
        totals = self._window.at(self._clock())
        if totals[1] + 1 > self._ratio * totals[0] + self._reserve:
            self.refused += 1
            return False
        totals[1] += 1
        self.withdrawn += 1
        return True

    @property
    def balance(self) -> float:
        """Extra calls that could be made now, at least 0."""
        calls, extra = self._window.at(self._clock())
        return max(0.0, self._ratio * calls + self._reserve - extra)

    def snapshot(self) -> RetryBudgetSnapshot:
        """The state for metrics."""
        return RetryBudgetSnapshot(self.balance, self.withdrawn, self.refused)

    def __repr__(self) -> str:
        return f"<RetryBudget balance={self.balance:.1f} withdrawn={self.withdrawn} refused={self.refused}>"
