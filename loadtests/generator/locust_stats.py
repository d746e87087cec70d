"""Locust's own statistics, fed a batch at a time, so that its UI and its master show what the lean users do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from locust.stats import StatsEntry, StatsError, bucket_response_time

from loadtests.generator.recorder import Row

if TYPE_CHECKING:
    from locust.env import Environment

_METHOD = "POST"


class LocustStats:
    """A recorder's ``on_batch`` listener that adds its rows to ``environment.stats`` under ``name``."""

    def __init__(self, environment: Environment, name: str, epoch_offset_ns: int) -> None:
        self._environment = environment
        self._name = name
        self._epoch_offset_ns = epoch_offset_ns

    def __call__(self, rows: Sequence[Row]) -> None:
        """Add the rows: counts and failures a second, response times rounded as Locust rounds them."""
        stats = self._environment.stats
        done_ns = np.array([row[2] for row in rows], dtype=np.int64)
        ms = (done_ns - np.array([row[1] for row in rows], dtype=np.int64)) / 1e6
        seconds = (done_ns + self._epoch_offset_ns) // 1_000_000_000
        batch = StatsEntry(stats, self._name, _METHOD)
        batch.num_requests = len(rows)
        batch.total_response_time = ms.sum().item()
        batch.min_response_time = ms.min().item()
        batch.max_response_time = ms.max().item()
        batch.total_content_length = sum([row[9] for row in rows])  # a list: no frame a row, unlike a generator
        batch.last_request_timestamp = (int(done_ns.max()) + self._epoch_offset_ns) / 1e9
        batch.num_reqs_per_sec = _counts(seconds)
        for whole_ms, count in _counts(np.rint(ms).astype(np.int64)).items():
            bucket = bucket_response_time(whole_ms)
            batch.response_times[bucket] = batch.response_times.get(bucket, 0) + count
        failed = [index for index, row in enumerate(rows) if row[4]]
        if failed:
            batch.num_failures = len(failed)
            batch.num_fail_per_sec = _counts(seconds[failed])
            for error, count in Counter(rows[index][4] for index in failed).items():
                self._add_error(error, count)
        stats.total.extend(batch)
        stats.entries[self._name, _METHOD].extend(batch)

    def _add_error(self, error: str, count: int) -> None:
        errors = self._environment.stats.errors
        key = StatsError.create_key(_METHOD, self._name, error)
        entry = errors.get(key)
        if entry is None:
            entry = errors[key] = StatsError(_METHOD, self._name, error)
        entry.occurred()
        entry.occurrences += count - 1


def _counts(values: np.ndarray) -> dict[int, int]:
    distinct, counts = np.unique(values, return_counts=True)
    return dict(zip(distinct.tolist(), counts.tolist(), strict=True))
