"""What the mock server served, counted by version, method, model and status."""

from __future__ import annotations

from collections import Counter
from typing import Any

NO_ANSWER = 0
"""The status under which calls are counted that got none: hangs, resets, callers who left."""


class Served:
    """Counts of answers. Each call that reached a model method is counted once, when it ends."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str, int]] = Counter()

    def add(self, version: str, method: str, model: str, status: int) -> None:
        """Count one call that ended with ``status``."""
        self._counts[version, method, model, status] += 1

    def report(self) -> dict[str, Any]:
        """The counts as rows, and their sums over everything and by status."""
        by_status: Counter[str] = Counter()
        for (_, _, _, status), calls in self._counts.items():
            by_status[str(status)] += calls
        rows = [
            {"version": version, "method": method, "model": model, "status": status, "calls": calls}
            for (version, method, model, status), calls in sorted(self._counts.items())
        ]
        return {"total": by_status.total(), "by_status": dict(by_status), "calls": rows}
