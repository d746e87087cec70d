"""The recorder: every request exactly, with its times in ns, in columns, on disk within a second.

Recording appends one tuple; all other work is done 512 rows at a time. ``tests/perf`` and ``python -m
tests.perf_generator`` measure what it costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from loadtests.generator.reply import Memo, attempts, cache_outcome, stage_durations, token_counts
from reports.records.error_bodies import ErrorBodyWriter
from reports.records.samples import SampleWriter
from reports.records.schema import SAMPLE_SCHEMA, STAGES

BATCH_ROWS = 512  # take 0.9 ms, in which no reply is read; 256 cost 2 us a request more under full load
CACHE_OUTCOMES = ("hit", "stale", "miss", "collapsed", "bypass", "none")
_CACHE_CODE = {outcome: code for code, outcome in enumerate(CACHE_OUTCOMES)}

Row = tuple[int, int, int, int, str, bytes | None, bytes | None, bytes | None, bytes | None, int, int, int]
"""scheduled, sent, done (perf_counter ns), status, error, Server-Timing, Cache-Status, X-Attempts, usage (as cut out by
``reply.usage``), bytes, user, item."""

BatchListener = Callable[[Sequence[Row]], None]


class Recorder:
    """Collects the requests of one load process and appends them to its sample file.

    ``recorded`` and ``failures`` count all rows given so far. ``on_batch``, if set, is handed each batch of rows as it
    is written; ``on_error`` is told when the disk refuses one, and raises unless set. Someone must call :meth:`flush`
    once a second, so that slow traffic reaches the disk too.
    """

    def __init__(self, run_dir: Path, pid: int, scenario: str, block: int) -> None:
        self._writer = SampleWriter(run_dir, pid)
        self._bodies = ErrorBodyWriter(run_dir, pid)
        self.on_batch: BatchListener | None = None
        self.on_error: Callable[[OSError], None] = _raise
        self._rows: list[Row] = []
        self._written = 0
        self.failures = 0
        self._scenario = _strings([scenario])
        self._block = block
        self._errors: dict[str, int] = {"": 0}
        self._error_dictionary = _strings(self._errors)
        self._cache_dictionary = _strings(CACHE_OUTCOMES)
        self._cache_codes = Memo(lambda header: _CACHE_CODE[cache_outcome(header)], _CACHE_CODE["none"])
        self._attempts = Memo(attempts, -1)
        # perf_counter is monotonic; anchored once, so that a stepped wall clock cannot bend a latency or the order.
        self.epoch_offset_ns = time.time_ns() - time.perf_counter_ns()

    @property
    def recorded(self) -> int:
        """Rows recorded so far, those not yet on disk included."""
        return self._written + len(self._rows)

    def record(self, row: Row) -> None:
        """Add one request, answered or failed."""
        self._rows.append(row)
        if row[4]:
            self.failures += 1
        if len(self._rows) >= BATCH_ROWS:
            self.flush()

    def keep_body(self, error: str, status: int, body: bytes) -> None:
        """Keep the reply of a request that failed, if it is among the first of its kind."""
        self._bodies.keep(error, status, body)

    def flush(self) -> None:
        """Write what was recorded since the last flush."""
        try:
            self._bodies.flush()
        except OSError as refused:
            self.on_error(refused)
        rows = self._rows
        if not rows:
            return
        self._rows = []
        self._written += len(rows)
        try:
            self._writer.write(self._batch(rows))
        except OSError as error:
            self.on_error(error)
        if self.on_batch is not None:
            self.on_batch(rows)

    def close(self) -> None:
        """Flush and end the sample file."""
        self.flush()
        try:
            self._writer.close()
        except OSError as error:
            self.on_error(error)

    def _batch(self, rows: list[Row]) -> pa.RecordBatch:
        scheduled, sent, done, status, error, timing, cache, tries, usage, size, user, item = zip(*rows, strict=True)
        n = len(rows)
        sent_ns = np.array(sent, dtype=np.int64)
        stages = stage_durations(timing)
        tokens = token_counts(usage).astype(np.int32)
        cache_codes, attempt_counts = self._cache_codes, self._attempts
        columns = [
            np.array(scheduled, dtype=np.int64) + self.epoch_offset_ns,
            sent_ns + self.epoch_offset_ns,
            np.array(done, dtype=np.int64) - sent_ns,
            np.array(status, dtype=np.int16),
            self._error_column(error),
            _coded(np.zeros(n, dtype=np.int32), self._scenario),
            np.full(n, self._block, dtype=np.int16),
            _coded(np.array([cache_codes[header] for header in cache], dtype=np.int32), self._cache_dictionary),
            np.array([attempt_counts[header] for header in tries], dtype=np.int16),
            *(np.ascontiguousarray(stages[:, index]) for index in range(len(STAGES))),
            np.array(size, dtype=np.int32),
            np.array(user, dtype=np.int32),
            np.array(item, dtype=np.int32),
            np.ascontiguousarray(tokens[:, 0]),
            np.ascontiguousarray(tokens[:, 1]),
        ]
        return pa.RecordBatch.from_arrays(
            [
                _numbers(column, field.type) if isinstance(column, np.ndarray) else column
                for column, field in zip(columns, SAMPLE_SCHEMA, strict=True)
            ],
            schema=SAMPLE_SCHEMA,
        )

    def _error_column(self, errors: Sequence[str]) -> pa.DictionaryArray:
        known = self._errors
        try:
            codes = [known[error] for error in errors]
        except KeyError:
            for error in errors:
                known.setdefault(error, len(known))
            self._error_dictionary = _strings(known)
            codes = [known[error] for error in errors]
        return _coded(np.array(codes, dtype=np.int32), self._error_dictionary)


# Arrays are made from their buffers: pa.array() would import pandas, a second and 45 MB at the start of each process.


def _numbers(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _strings(values: Iterable[str]) -> pa.StringArray:
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def _coded(codes: npt.NDArray[np.int32], dictionary: pa.StringArray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(_numbers(codes, pa.int32()), dictionary)


def _raise(error: OSError) -> None:
    raise error
