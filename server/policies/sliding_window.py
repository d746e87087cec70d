"""Counts over the last few seconds, in constant time and memory: running totals, and a ring of slots to take off."""

from __future__ import annotations


class SlidingWindow:
    """``counters`` event counts over the last ``window_s`` seconds, forgotten ``window_s / slots`` seconds at a time.

    The window therefore covers between ``window_s - window_s / slots`` and ``window_s`` seconds. Reading and adding are
    O(1); moving on clears at most ``slots`` rows. Times come from the caller and must not go back.
    """

    __slots__ = ("_at_slot_start", "_rows", "_slot_s", "_tick", "slot_ends_at", "totals")

    def __init__(self, *, window_s: float, counters: int, slots: int = 10) -> None:
        if window_s <= 0 or counters < 1 or slots < 1:
            raise ValueError("a sliding window needs window_s > 0, counters >= 1 and slots >= 1")
        self._slot_s = window_s / slots
        self._rows = [[0] * counters for _ in range(slots)]
        self._tick = 0
        self.slot_ends_at = self._slot_s
        """When :meth:`at` will have to forget something; up to then it returns the totals and no more."""
        # What the slot under way has counted is the totals less these: counting changes one number, not two.
        self._at_slot_start = [0] * counters
        self.totals = [0] * counters
        """Sums over the window as of the last :meth:`at`."""

    def at(self, now: float) -> list[int]:
        """Forget what is older than the window at ``now`` (s) and return the totals, to read and to add to."""
        if now >= self.slot_ends_at:
            tick = int(now / self._slot_s)
            if tick > self._tick:  # by rounding, the very end of a slot may still divide into that slot
                self._move_to(tick)
        return self.totals

    def clear(self) -> None:
        """Forget everything."""
        for counts in (*self._rows, self._at_slot_start, self.totals):
            counts[:] = [0] * len(counts)

    def _move_to(self, tick: int) -> None:
        slots = len(self._rows)
        totals = self.totals
        ended = self._rows[self._tick % slots]
        ended[:] = [total - before for total, before in zip(totals, self._at_slot_start, strict=True)]
        for passed in range(max(self._tick + 1, tick - slots + 1), tick + 1):
            row = self._rows[passed % slots]
            for counter, count in enumerate(row):
                totals[counter] -= count
                row[counter] = 0
        self._at_slot_start[:] = totals
        self._tick = tick
        self.slot_ends_at = (tick + 1) * self._slot_s
