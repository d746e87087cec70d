"""What this process uses of the machine."""

from __future__ import annotations

import time

import psutil


class ProcessUsage:
    """CPU time and memory of this process, and when it started (seconds since the epoch)."""

    __slots__ = ("_process", "started_at")

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.started_at = self._process.create_time()

    def cpu_seconds(self) -> float:
        """User and system time of all threads so far, in seconds."""
        return time.process_time()

    def rss_bytes(self) -> int:
        """Resident memory now, in bytes."""
        return int(self._process.memory_info().rss)
