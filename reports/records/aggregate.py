"""Samples to counts: the cells of a tick while a run lives, and ``aggregate.parquet`` at its end.

Both come from ``cells``; counts of parts add up to the count of the whole, so a live run and a saved one are drawn by
the same code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reports.records.bins import BINS, latency_bin
from reports.records.schema import AGGREGATE_SCHEMA, POPULATIONS, Block, Population

Times = npt.NDArray[np.int64]

KEYS = [name for name in AGGREGATE_SCHEMA.names if name != "count"]
"""What an aggregate row is counted by."""

COLUMNS = ["scheduled_at", "sent_at", "latency_ns", "status", "error", "scenario", "block", "cache", "attempts"]
"""The sample columns that ``cells`` reads."""


class Windows:
    """The measured windows of a run's blocks, to be looked up for many samples at once."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        never = np.iinfo(np.int64).max
        self._from = np.full(max((b.index for b in blocks), default=-1) + 2, never)
        self._until = self._from.copy()
        for b in blocks:
            if b.measure_from_ns is not None and b.left_out is None:
                self._from[b.index] = b.measure_from_ns
                self._until[b.index] = never if b.measure_until_ns is None else b.measure_until_ns

    def of(self, block: npt.NDArray[np.int16]) -> tuple[Times, Times]:
        """Each sample's window ``[from, until)`` in ns, by its block.

        Empty, at the end of time, for a block that has no window yet, is left out, or that the manifest does not know
        (yet).
        """
        known = np.where((block >= 0) & (block < self._from.size), block, self._from.size - 1)
        return self._from[known], self._until[known]

    def hold(self, times: Times, block: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
        """Where ``times`` (ns) lie in the window of their own block."""
        start, end = self.of(block)
        inside: npt.NDArray[np.bool_] = (times >= start) & (times < end)
        return inside


def cells(batch: pa.RecordBatch | pa.Table, blocks: Sequence[Block], started_ns: int) -> pa.Table:
    """Counts of the samples in ``batch`` (at least ``COLUMNS``), as AGGREGATE_SCHEMA.

    ``started_ns`` is the manifest's; a sample intended before it counts in second 0.
    """
    scheduled = _numpy(batch, "scheduled_at")
    block = _numpy(batch, "block")
    from_intended = _numpy(batch, "sent_at") - scheduled + _numpy(batch, "latency_ns")
    keyed = pa.table(
        {
            "second": np.maximum((scheduled - started_ns) // 1_000_000_000, 0).astype(np.int32),
            "block": block,
            "scenario": batch.column("scenario").cast(pa.string()),
            "cache": batch.column("cache").cast(pa.string()),
            "attempts": batch.column("attempts"),
            "status": batch.column("status"),
            "error": batch.column("error").cast(pa.string()),
            "measured": Windows(blocks).hold(scheduled, block),
            "bin": latency_bin(from_intended),
        }
    )
    counted = keyed.group_by(KEYS).aggregate([([], "count_all")])
    return counted.rename_columns([*KEYS, "count"]).cast(AGGREGATE_SCHEMA)


def merge(parts: Iterable[pa.Table]) -> pa.Table:
    """The sum of several aggregates, sorted by its keys; an empty table of the schema when there is none."""
    joined = pa.concat_tables([AGGREGATE_SCHEMA.empty_table(), *parts])
    summed = joined.group_by(KEYS).aggregate([("count", "sum")])
    named = summed.rename_columns([*KEYS, "count"]).cast(AGGREGATE_SCHEMA)
    return named.sort_by([(key, "ascending") for key in KEYS])


def of_population(table: pa.Table, population: Population) -> pa.Table:
    """The rows of an aggregate that are successes of a population, measured or not."""
    success = pc.and_(pc.equal(table["error"], ""), pc.equal(pc.floor(pc.divide(table["status"], 100.0)), 2.0))
    return table.filter(pc.and_(success, pc.is_in(table["cache"], pa.array(POPULATIONS[population]))))


def bin_counts(table: pa.Table) -> npt.NDArray[np.int64]:
    """Samples by log bin, length 360."""
    counts = np.bincount(table["bin"].to_numpy(), weights=table["count"].to_numpy(), minlength=BINS)
    return counts.astype(np.int64)


def to_rows(table: pa.Table) -> list[list[Any]]:
    """An aggregate as the JSON rows of a tick's ``cells``, in the order of AGGREGATE_SCHEMA."""
    columns = [table.column(name).to_pylist() for name in AGGREGATE_SCHEMA.names]
    return [list(row) for row in zip(*columns, strict=True)]


def from_rows(rows: Sequence[Sequence[Any]]) -> pa.Table:
    """A tick's ``cells`` as an aggregate. Raises ``ValueError`` or ``TypeError`` for rows that do not fit."""
    columns = list(zip(*rows, strict=True)) or [() for _ in AGGREGATE_SCHEMA]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, AGGREGATE_SCHEMA, strict=True)],
        schema=AGGREGATE_SCHEMA,
    )


def _numpy(batch: pa.RecordBatch | pa.Table, name: str) -> np.ndarray:
    column = batch.column(name)
    result: np.ndarray = (
        column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
    )
    return result
