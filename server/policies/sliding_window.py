"""Counts over the last few seconds, in constant time and memory: a ring of slots with running totals."""

from __future__ import annotations


class SlidingWindow:
    """``counters`` event counts over the last ``window_s`` seconds, forgotten ``window_s / slots`` seconds at a time.

    The window therefore covers between ``window_s - window_s / slots`` and ``window_s`` seconds. Reading and adding are
    O(1); moving on clears at most ``slots`` rows. Times come from the caller and must not go back.
    """

    __slots__ = ("_row", "_rows", "_slot_ends_at", "_slot_s", "_tick", "totals")

    def __init__(self, *, window_s: float, counters: int, slots: int = 10) -> None:
        if window_s <= 0 or counters < 1 or slots < 1:
            raise ValueError("a sliding window needs window_s > 0, counters >= 1 and slots >= 1")
        self._slot_s = window_s / slots
        self._rows = [[0] * counters for _ in range(slots)]
        self._tick = 0
        self._slot_ends_at = self._slot_s
        self._row = self._rows[0]
        self.totals = [0] * counters
        """Sums over the window as of the last :meth:`at`; change them together with the row."""

    def at(self, now: float) -> list[int]:
        """Forget what is older than the window at ``now`` (s) and return the row to add to."""
        if now >= self._slot_ends_at:
            self._move_to(int(now / self._slot_s))
        return self._row

    def clear(self) -> None:
        """Forget everything."""
        for row in self._rows:
            row[:] = [0] * len(row)
        self.totals[:] = [0] * len(self.totals)

    def _move_to(self, tick: int) -> None:
        slots = len(self._rows)
        for passed in range(max(self._tick + 1, tick - slots + 1), tick + 1):
            row = self._rows[passed % slots]
            for counter, count in enumerate(row):
                self.totals[counter] -= count
                row[counter] = 0
        self._tick = tick
        self._slot_ends_at = (tick + 1) * self._slot_s
        self._row = self._rows[tick % slots]
