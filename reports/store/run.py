"""Reading one run, live or saved: the same calls for both."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from reports.errors import RunDamaged
from reports.records import aggregate, samples
from reports.records.error_bodies import ErrorBody, read_error_bodies
from reports.records.schema import AGGREGATE_SCHEMA, SAMPLE_SCHEMA, Manifest
from reports.records.ticks import read_ticks, ticks_path
from reports.summary.summarise import summarise
from reports.summary.summary import Summary

STALE_AFTER_S: Final = 15.0
"""A run that says "running" but has not been written to for so long has lost its writer."""


class Run:
    """A run whose manifest has been read; everything else is read when asked for.

    Reading raises ``RunDamaged`` where a file is there but is not what it should be.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @property
    def live(self) -> bool:
        """Whether somebody is still writing it: it says "running" and was touched in the last ``STALE_AFTER_S``."""
        if self.manifest.status != "running":
            return False
        heard = [p.stat().st_mtime for p in (self.path / "run.json", ticks_path(self.path)) if p.exists()]
        return bool(heard) and time.time() - max(heard) < STALE_AFTER_S

    def samples(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All samples, or the given columns of them, in one table."""
        schema = SAMPLE_SCHEMA if columns is None else pa.schema([SAMPLE_SCHEMA.field(c) for c in columns])
        return pa.Table.from_batches(list(self.iter_batches(columns)), schema=schema).unify_dictionaries()

    def iter_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The samples in batches of bounded size: memory stays flat whatever the run's length."""
        try:
            yield from samples.iter_batches(self.path, columns)
        except (OSError, pa.ArrowException) as error:
            raise RunDamaged(self.path.name, f"samples: {str(error).splitlines()[0]}") from error

    def aggregate(self) -> pa.Table:
        """Counts by second, cache, attempts, status and log bin (AGGREGATE_SCHEMA).

        From ``aggregate.parquet`` if the run has ended, from the ticks while it goes on, from the samples if it
        crashed.
        """
        saved = self.path / "aggregate.parquet"
        if saved.exists():
            try:
                return pq.read_table(saved, schema=AGGREGATE_SCHEMA)
            except (OSError, pa.ArrowException) as error:
                raise RunDamaged(self.path.name, f"aggregate.parquet: {str(error).splitlines()[0]}") from error
        if self.live:
            try:
                return aggregate.merge(aggregate.from_rows(tick.get("cells", ())) for tick in self.ticks())
            except (ValueError, TypeError) as error:
                raise RunDamaged(self.path.name, f"ticks.jsonl: {str(error).splitlines()[0]}") from error
        return self.count_samples()

    def count_samples(self) -> pa.Table:
        """The aggregate, counted from the samples."""
        blocks, started = self.manifest.blocks, self.manifest.started_ns
        batches = self.iter_batches(aggregate.COLUMNS)
        return aggregate.merge(aggregate.cells(batch, blocks, started) for batch in batches)

    def ticks(self, after_seq: int = -1) -> list[dict[str, Any]]:
        """The ticks with a ``seq`` above ``after_seq``, in order."""
        return read_ticks(self.path, after_seq)

    def error_bodies(self) -> list[ErrorBody]:
        """The first bodies of each kind of failed reply, in order of time."""
        return read_error_bodies(self.path)

    def summary(self) -> Summary:
        """``summary.json``; computed from the samples if it is not there (a live or crashed run)."""
        saved = self.path / "summary.json"
        if not saved.exists():
            return self.summarise()
        try:
            return Summary.model_validate_json(saved.read_bytes())
        except ValidationError as error:
            raise RunDamaged(self.path.name, f"summary.json: {error.errors()[0]['msg']}") from error

    def summarise(self, *, slo_ms: float | None = None) -> Summary:
        """The summary, computed from the samples; goodput counts only what was answered within ``slo_ms`` if given."""
        return summarise(self.manifest, self.iter_batches, slo_ms=slo_ms)
