"""One pass over a run's samples: what the summary is made of, in arrays as narrow as they can be.

Five million samples are read in batches, never as a table: what stays is two int64 and three small integers a
measured success.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reports.records.aggregate import Windows
from reports.records.schema import POPULATIONS, Manifest, Population

ReadBatches = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
"""Gives the samples' batches with the columns asked for, in the same order every time."""

COLUMNS: Final = (
    "scheduled_at",
    "sent_at",
    "latency_ns",
    "status",
    "error",
    "block",
    "cache",
    "attempts",
    "prompt_tokens",
    "output_tokens",
)

CACHES: Final = ("hit", "stale", "miss", "collapsed", "bypass", "none")
_CACHE_CODE: Final = {name: code for code, name in enumerate(CACHES)}
POPULATION_CODE: Final[dict[Population, int]] = {"hit": 1, "miss": 2}
"""How a population is coded in ``Collected.population``; 0 is neither (a failure, or outside the window)."""
_POPULATION_OF_CACHE: Final = np.array(
    [next((POPULATION_CODE[p] for p, caches in POPULATIONS.items() if name in caches), 0) for name in CACHES], np.uint8
)
_UNKNOWN_CACHE: Final = _CACHE_CODE["none"]


@dataclass
class Collected:
    """What one pass found. Arrays hold the measured successes in file order unless said otherwise; times are ns."""

    requests: int = 0
    successes: int = 0
    outside: int = 0
    completed: int = 0
    """Requests, of any outcome, that ended inside a measured window."""
    attempts_of_successes: int = 0
    """Measured successes that reached Gemini."""
    latency_sum_ns: float = 0.0
    """Of all measured requests, from the intended start."""
    in_flight_ns: float = 0.0
    """Request-nanoseconds spent inside the measured windows: divided by their length, the mean number in flight."""
    by_block: Counter[int] = field(default_factory=Counter)
    """Measured requests by block."""
    failures: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)
    """All replies, warm-up too, by ``status/cache``; what the server counts the same way."""
    mismatches: int = 0
    """Replies that belonged to another prompt, measured or not: a server that mixes up one answer is not believed."""
    unanswered: int = 0
    caches: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    population: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    """One entry a sample of the run, measured or not: lets later passes over single columns pick their rows."""
    intended_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    sent_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    scheduled_ms: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """Intended start in whole ms since the start of its block's measured window."""
    failed_ms: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """The same of the measured failures."""
    failed_block: npt.NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16))
    block: npt.NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16))
    success_population: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))


def collect(manifest: Manifest, read: ReadBatches) -> Collected:
    """Read every sample once."""
    found = Collected()
    windows = Windows(manifest.blocks)
    kept: dict[str, _Growing] = {}
    for batch in read(COLUMNS):
        for name, part in _collect_batch(found, batch, windows).items():
            kept.setdefault(name, _Growing(part.dtype)).append(part)
    for name, grown in kept.items():
        setattr(found, name, grown.array())
    return found


class _Growing:
    """An array that grows in place: joining a list of parts at the end would need the memory twice."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._array = np.empty(1 << 18, dtype)
        self._used = 0

    def append(self, part: npt.NDArray[Any]) -> None:
        end = self._used + part.size
        if end > self._array.size:
            self._array.resize(max(end, self._array.size * 3 // 2), refcheck=False)
        self._array[self._used : end] = part
        self._used = end

    def array(self) -> npt.NDArray[Any]:
        self._array.resize(self._used, refcheck=False)
        return self._array


def _collect_batch(found: Collected, batch: pa.RecordBatch, windows: Windows) -> dict[str, npt.NDArray[Any]]:
    scheduled, sent, latency, status, block, attempts = (
        batch.column(name).to_numpy(zero_copy_only=False)
        for name in ("scheduled_at", "sent_at", "latency_ns", "status", "block", "attempts")
    )
    errors, error = _dictionary(batch.column("error"))
    caches, cache_index = _dictionary(batch.column("cache"))
    cache_of = np.array([_CACHE_CODE.get(name, _UNKNOWN_CACHE) for name in caches] or [_UNKNOWN_CACHE], np.uint8)
    cache = cache_of[cache_index]
    clean = np.array([name == "" for name in errors] or [True])[error]

    end = sent + latency
    from_intended = end - scheduled
    measured = windows.hold(scheduled, block)
    success = clean & (status >= 200) & (status < 300)
    good = measured & success
    bad = measured & ~success
    population = np.where(good, _POPULATION_OF_CACHE[cache], np.uint8(0)).astype(np.uint8)

    found.requests += int(measured.sum())
    found.successes += int(good.sum())
    for index, number in zip(*np.unique(block[measured], return_counts=True), strict=True):
        found.by_block[int(index)] += int(number)
    found.outside += int(batch.num_rows - measured.sum())
    found.completed += int(windows.hold(end, block).sum())
    found.latency_sum_ns += float(from_intended[measured].sum())
    lower, upper = windows.of(block)
    overlap = np.minimum(end, upper) - np.maximum(scheduled, lower)
    found.in_flight_ns += float(overlap[(overlap > 0) & (lower < upper)].sum())

    _count_failures(found, errors, error, status, bad)
    found.mismatches += int((np.array([name == "mismatch" for name in errors] or [False])[error]).sum())
    _count_replies(found, status, cache)
    for code, number in enumerate(np.bincount(cache[good], minlength=len(CACHES)).tolist()):
        found.caches[CACHES[code]] += number
    reached = attempts >= 1
    found.attempts_of_successes += int((good & reached).sum())
    for number, times in enumerate(np.bincount(attempts[measured & reached]).tolist()):
        found.attempts[number] += times
    from_cache = good & (population == POPULATION_CODE["hit"])
    for kind in ("prompt", "output"):
        tokens = np.maximum(batch.column(f"{kind}_tokens").to_numpy(zero_copy_only=False), 0)
        found.tokens[kind] += int(tokens[good].sum())
        found.tokens[f"{kind}_cached"] += int(tokens[from_cache].sum())
    return {
        "population": population,
        "intended_ns": from_intended[good],
        "sent_ns": latency[good],
        "scheduled_ms": ((scheduled - lower)[good] // 1_000_000).astype(np.int32),
        "failed_ms": ((scheduled - lower)[bad] // 1_000_000).astype(np.int32),
        "failed_block": block[bad],
        "block": block[good],
        "success_population": population[good],
    }


def _count_failures(
    found: Collected, errors: list[str], error: npt.NDArray[Any], status: npt.NDArray[Any], bad: npt.NDArray[np.bool_]
) -> None:
    for index, number in enumerate(np.bincount(error[bad], minlength=len(errors)).tolist()):
        if number and errors[index]:
            found.failures[errors[index]] += number
    unnamed = bad & np.array([name == "" for name in errors] or [True])[error]
    for code, number in zip(*np.unique(status[unnamed], return_counts=True), strict=True):
        found.failures[f"http-{code}"] += int(number)


def _count_replies(found: Collected, status: npt.NDArray[Any], cache: npt.NDArray[np.uint8]) -> None:
    answered = status != 0
    found.unanswered += int((~answered).sum())
    keys = status[answered].astype(np.int32) * 8 + cache[answered]
    for key, number in zip(*np.unique(keys, return_counts=True), strict=True):
        found.replies[f"{key // 8}/{CACHES[key % 8]}"] += int(number)


def _dictionary(column: pa.Array) -> tuple[list[str], npt.NDArray[np.int32]]:
    """The distinct strings of a column and each row's index into them."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
