"""What people see while a bench runs: one live view in a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reports.records.bins import BINS, quantile_ns
from reports.records.schema import HIT_CACHES, MISS_CACHES

RECENT_S = 5
"""Seconds that the live figures look back."""

PLAIN_EVERY_S = 5.0
"""Seconds between two lines where the output is no terminal."""


@dataclass(frozen=True)
class Latency:
    """Latency of one population over the last seconds: `samples`, and p50 and p99 in ms, None where too few tell."""

    samples: int
    p50_ms: float | None
    p99_ms: float | None

    def __str__(self) -> str:
        return f"p50 {_milliseconds(self.p50_ms)} p99 {_milliseconds(self.p99_ms)}"


@dataclass(frozen=True)
class Recent:
    """What the last seconds looked like. `hit_share` is None when nothing succeeded."""

    requests_per_s: float
    failed: int
    hit: Latency
    miss: Latency

    @property
    def hit_share(self) -> float | None:
        """Share of successful requests that the cache answered."""
        total = self.hit.samples + self.miss.samples
        return self.hit.samples / total if total else None


@dataclass(frozen=True)
class _Look:
    """What ended within `elapsed_s` seconds: all, those that failed, and successes by latency bin."""

    elapsed_s: float
    total: int
    failed: int
    hits: np.ndarray
    misses: np.ndarray


class RecentRequests:
    """The requests that ended in the last `RECENT_S` looks, from the cells of each (`reports.records.aggregate`)."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque(maxlen=RECENT_S)

    def add(self, cells: pa.Table, elapsed_s: float) -> None:
        """Take in what ended within the last `elapsed_s` seconds."""
        hits, misses = np.zeros(BINS), np.zeros(BINS)
        total = failed = 0
        columns = (cells[name].to_pylist() for name in ("cache", "status", "error", "bin", "count"))
        for cache, status, error, latency_bin, count in zip(*columns, strict=True):
            total += count
            if error or not 200 <= status < 300:
                failed += count
            elif cache in HIT_CACHES:
                hits[latency_bin] += count
            elif cache in MISS_CACHES:
                misses[latency_bin] += count
        self._looks.append(_Look(elapsed_s, total, failed, hits, misses))

    def figures(self) -> Recent:
        """Rate and latency over the looks kept."""
        looks = self._looks
        elapsed_s = sum(look.elapsed_s for look in looks)
        return Recent(
            requests_per_s=sum(look.total for look in looks) / elapsed_s if elapsed_s > 0 else 0.0,
            failed=sum(look.failed for look in looks),
            hit=_latency(sum((look.hits for look in looks), np.zeros(BINS))),
            miss=_latency(sum((look.misses for look in looks), np.zeros(BINS))),
        )


def _latency(counts: np.ndarray) -> Latency:
    samples = int(counts.sum())

    def quantile_ms(q: float) -> float | None:
        # ten samples beyond a percentile, or it is not told (DESIGN.md, "Measuring honestly")
        return quantile_ns(counts, q) / 1e6 if samples * (1 - q) >= 10 else None

    return Latency(samples, quantile_ms(0.5), quantile_ms(0.99))


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"


@dataclass(frozen=True)
class Status:
    """Where the bench is: `block` counts from 1; `left_s` is the expected rest, `done` the expected share behind us."""

    block: int
    blocks: int
    arm: str
    phase: str
    users: int
    recent: Recent
    left_s: float
    done: float


class Progress:
    """The live view. Use as a context manager; it leaves nothing behind in a terminal but what `say` printed."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._last_line_at: float | None = None
        self._last_phase: tuple[int, str] | None = None

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def waiting(self, text: str) -> None:
        """Show what is being waited for; in a plain output nothing (it would be noise)."""
        if self._live:
            self._live.update(Text(text, style="dim"), refresh=True)

    def show(self, status: Status) -> None:
        """Show where the bench is: at each call in a terminal, else every few seconds and at each new phase."""
        if self._live:
            self._live.update(_view(status), refresh=True)
            return
        now = self._clock()
        changed = (status.block, status.phase) != self._last_phase
        due = self._last_line_at is None or now - self._last_line_at >= PLAIN_EVERY_S
        if due or changed:
            self._last_line_at = now
            self._last_phase = (status.block, status.phase)
            self.say(" · ".join([_where(status), *_figures(status), f"{_clock_time(status.left_s)} left"]))


def _view(status: Status) -> Group:
    top = Table.grid(padding=(0, 2), expand=False)
    top.add_row(
        Text(_where(status), style="bold"),
        ProgressBar(total=1.0, completed=min(1.0, status.done), width=24),
        Text(f"{_clock_time(status.left_s)} left", style="dim"),
    )
    return Group(top, *(Text(line, overflow="ellipsis", no_wrap=True) for line in _figures(status)))


def _where(status: Status) -> str:
    return f"block {status.block}/{status.blocks} · {status.arm} · {status.phase}"


def _figures(status: Status) -> tuple[str, str]:
    recent = status.recent
    hits = "–" if recent.hit_share is None else f"{recent.hit_share:.0%}"
    return (
        f"{status.users} users · {recent.requests_per_s:,.0f} req/s · {recent.failed} failed · hits {hits}",
        f"hit {recent.hit} · miss {recent.miss}",
    )


def _clock_time(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
