"""Sample files: Arrow IPC streams that grow while a run lives, zstd parquet once it has ended.

A stream is only ever appended to, a whole record batch at a time. What a killed process leaves is every batch up to
its last; readers stop at a torn tail without a word.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from reports.records.schema import SAMPLE_SCHEMA

ROW_GROUP: Final = 1 << 18
"""Rows a parquet row group holds (but the last)."""

READ_ROWS: Final = 1 << 16
"""The most rows that a reader of parquet is handed at once."""


def stream_path(run_dir: Path, pid: int) -> Path:
    """Where load process ``pid`` writes while the run goes on."""
    return run_dir / f"samples-{pid}.arrows"


class SampleWriter:
    """Appends record batches to one load process's stream.

    Each ``write`` reaches the operating system before it returns, so a crash of the process loses only what was not
    written yet. Raises ``FileExistsError`` if the process already has a stream, ``OSError`` when the disk is full.
    """

    def __init__(self, run_dir: Path, pid: int) -> None:
        self._file = stream_path(run_dir, pid).open("xb", buffering=1 << 20)
        self._stream = pa.ipc.new_stream(self._file, SAMPLE_SCHEMA)
        self._file.flush()

    def write(self, batch: pa.RecordBatch) -> None:
        """Append ``batch``, which must have SAMPLE_SCHEMA; an empty one is skipped."""
        if batch.num_rows:
            self._stream.write_batch(batch)
            self._file.flush()

    def close(self) -> None:
        """End the stream and close the file; a second call does nothing."""
        if not self._file.closed:
            self._stream.close()
            self._file.close()


class SampleTail:
    """Reads what all streams of a run have gained since the last look, new streams included."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._streams: dict[Path, _GrowingStream] = {}

    def read_new(self) -> list[pa.RecordBatch]:
        """The whole batches that have arrived since the call before, in the order of each file.

        A half-written batch stays for the next call. A stream that has been removed (the run ended) gives nothing more.
        """
        batches: list[pa.RecordBatch] = []
        for path in sorted(self._run_dir.glob("samples-*.arrows")):
            stream = self._streams.setdefault(path, _GrowingStream(path))
            batches += stream.read_new()
        return batches


class _GrowingStream:
    """One growing file. Whole messages are fed to an Arrow reader, which keeps its dictionaries between calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._feed = _Feed()
        self._reader: pa.RecordBatchStreamReader | None = None

    def read_new(self) -> list[pa.RecordBatch]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = _whole_messages(data)
        if not whole:
            return []
        self._offset += whole
        self._feed.give(data[:whole])
        if self._reader is None:
            self._reader = pa.ipc.open_stream(pa.PythonFile(self._feed, mode="r"))
        return list(_until_torn(self._reader))


class _Feed(io.RawIOBase):
    """A file that ends where the bytes given so far end, and goes on when more are given."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = bytearray()

    def give(self, data: bytes) -> None:
        self._bytes += data

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        end = len(self._bytes) if size is None or size < 0 else size
        taken = bytes(self._bytes[:end])
        del self._bytes[:end]
        return taken


def _whole_messages(data: bytes) -> int:
    """How many leading bytes of ``data`` make whole messages that end with a record batch (or the schema)."""
    source = pa.BufferReader(data)
    whole = 0
    while True:
        try:
            message = pa.ipc.read_message(source)
        except (EOFError, OSError, pa.ArrowInvalid):  # at the end, in a body, in the metadata
            return whole
        if message.type != "dictionary":  # a dictionary alone would leave the reader waiting for its batch
            whole = source.tell()


def _until_torn(reader: pa.RecordBatchStreamReader) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            yield reader.read_next_batch()
        except (StopIteration, OSError, pa.ArrowInvalid):
            return


def iter_stream(path: Path) -> Iterator[pa.RecordBatch]:
    """Every whole batch of a stream, up to its end or its torn tail. Nothing if even the schema is torn."""
    with pa.OSFile(str(path)) as file:
        try:
            reader = pa.ipc.open_stream(file)
        except (OSError, pa.ArrowInvalid):
            return
        yield from _until_torn(reader)


def sample_files(run_dir: Path) -> list[Path]:
    """The run's sample files: parquet where a stream has been compacted, the stream where not. One a load process."""
    compacted = sorted(run_dir.glob("samples-*.parquet"))
    done = {path.stem for path in compacted}
    return [*compacted, *(p for p in sorted(run_dir.glob("samples-*.arrows")) if p.stem not in done)]


def iter_batches(run_dir: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """All samples of a run in batches of bounded size, only ``columns`` where given."""
    wanted = list(SAMPLE_SCHEMA.names if columns is None else columns)
    for path in sample_files(run_dir):
        if path.suffix == ".parquet":
            with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as parquet:
                yield from parquet.iter_batches(batch_size=READ_ROWS, columns=wanted, use_threads=False)
        else:
            for batch in iter_stream(path):
                yield batch.select(wanted)


def compact(run_dir: Path) -> None:
    """Turn every stream into zstd parquet, a row group at a time, then remove it.

    A stream goes only after its parquet file is whole and in place, so an interrupted call loses nothing and may be
    repeated.
    """
    for stream in sorted(run_dir.glob("samples-*.arrows")):
        target = stream.with_suffix(".parquet")
        if not target.exists():
            partial = stream.with_suffix(".parquet-partial")
            with pq.ParquetWriter(partial, SAMPLE_SCHEMA, compression="zstd") as parquet:
                for table in _row_groups(iter_stream(stream)):
                    parquet.write_table(table, row_group_size=ROW_GROUP)
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(target)
        stream.unlink()


def _row_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    pending: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        pending.append(batch)
        rows += batch.num_rows
        if rows >= ROW_GROUP:
            yield pa.Table.from_batches(pending).unify_dictionaries()
            pending, rows = [], 0
    if pending:
        yield pa.Table.from_batches(pending).unify_dictionaries()
