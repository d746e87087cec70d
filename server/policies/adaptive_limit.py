"""A concurrency limit that finds its own height from latency: additive increase, multiplicative decrease (AIMD)."""

from __future__ import annotations


class AimdLimit:
    """As many calls at once as stay within ``target_s`` seconds each.

    A call that took up to ``target_s`` adds ``1 / limit`` (so one more place for each round of calls), but only while
    at least half of the places are taken: an idle limit learns nothing. A call that took longer or failed multiplies
    the limit by ``backoff``, at most once for the calls that were under way together. Between ``minimum`` and
    ``maximum``.
    Sources: V. Jacobson, "Congestion Avoidance and Control", SIGCOMM 1988; Netflix concurrency-limits, ``AIMDLimit``.
    """

    __slots__ = ("_backoff", "_cut_at", "_limit", "_maximum", "_minimum", "_target_s")

    def __init__(
        self, *, target_s: float, initial: int = 20, minimum: int = 1, maximum: int = 1000, backoff: float = 0.9
    ) -> None:
        if target_s <= 0 or not 1 <= minimum <= initial <= maximum or not 0 < backoff < 1:
            raise ValueError("AIMD needs target_s > 0, 1 <= minimum <= initial <= maximum and 0 < backoff < 1")
        self._target_s = target_s
        self._limit = float(initial)
        self._minimum = minimum
        self._maximum = maximum
        self._backoff = backoff
        self._cut_at = float("-inf")

    @property
    def limit(self) -> int:
        """Calls that may be under way at once, now."""
        return int(self._limit)

    def record(self, *, started_s: float, ended_s: float, in_flight: int, well: bool | None = True) -> None:
        """Learn from a call; ``in_flight`` counts the calls under way when it ended, itself included.

        ``well``: whether the upstream took it, ``None`` for a call that was given up or refused: too slow if it had
        already outlasted ``target_s``, else it says nothing.
        """
        if well is False or ended_s - started_s > self._target_s:
            if started_s >= self._cut_at:
                self._limit = max(float(self._minimum), self._limit * self._backoff)
                self._cut_at = ended_s
        elif well and in_flight * 2 >= self._limit:
            self._limit = min(float(self._maximum), self._limit + 1.0 / self._limit)

    def __repr__(self) -> str:
        return f"<AimdLimit {self._limit:.1f} in [{self._minimum}, {self._maximum}] target={self._target_s:g}s>"
