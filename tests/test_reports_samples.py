"""Sample streams: read while they grow, whatever a crash left, and turned to parquet without losing a row."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from reports.records.samples import (
    SampleTail,
    SampleWriter,
    compact,
    iter_batches,
    iter_stream,
    sample_files,
    stream_path,
)
from reports.records.schema import SAMPLE_SCHEMA
from tests.made_runs import batch, mixed


def rows(run_dir: Path) -> list[dict]:
    return [row for b in iter_batches(run_dir) for row in b.to_pylist()]


def test_what_is_written_is_read_back_before_the_writer_closes(tmp_path: Path) -> None:
    writer = SampleWriter(tmp_path, 1)
    given = [batch(3, item=[1, 2, 3]), batch(2, cache=["miss", "stale"], error=["", "timeout"])]
    for one in given:
        writer.write(one)
    assert rows(tmp_path) == [row for one in given for row in one.to_pylist()]
    writer.close()
    writer.close()
    assert len(rows(tmp_path)) == 5


def test_a_process_may_not_write_over_its_own_stream(tmp_path: Path) -> None:
    SampleWriter(tmp_path, 1).close()
    with pytest.raises(FileExistsError):
        SampleWriter(tmp_path, 1)


@pytest.mark.parametrize("rows_a_batch", [1, 700])
def test_a_stream_cut_anywhere_yields_its_whole_batches(tmp_path: Path, rows_a_batch: int) -> None:
    writer = SampleWriter(tmp_path, 1)
    ends = [stream_path(tmp_path, 1).stat().st_size]
    for n in range(3):
        writer.write(batch(rows_a_batch, item=np.full(rows_a_batch, n), cache=["hit", "miss", "stale"][n]))
        ends.append(stream_path(tmp_path, 1).stat().st_size)
    writer.close()
    data = stream_path(tmp_path, 1).read_bytes()[: ends[-1]]
    cut_dir = tmp_path / "cut"
    cut_dir.mkdir()
    step = max(1, len(data) // 400)
    for length in [*range(0, len(data), step), *(end + d for end in ends[1:] for d in (-1, 0, 1))]:
        stream_path(cut_dir, 1).write_bytes(data[:length])
        whole = sum(end <= length for end in ends[1:])
        assert [b.num_rows for b in iter_stream(stream_path(cut_dir, 1))] == [rows_a_batch] * whole, length


def test_the_tail_gives_each_batch_once_as_files_grow_byte_by_byte(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    given = [mixed(n, rows=40, item=np.full(40, n)) for n in range(4)]
    for pid in (1, 2):
        writer = SampleWriter(source, pid)
        for one in given:
            writer.write(one)
        writer.close()
    tail = SampleTail(tmp_path)
    assert tail.read_new() == []
    found: dict[int, list[pa.RecordBatch]] = {1: [], 2: []}
    for pid in (1, 2):
        data = stream_path(source, pid).read_bytes()
        for start in range(0, len(data), 97):
            with stream_path(tmp_path, pid).open("ab") as growing:
                growing.write(data[start : start + 97])
            found[pid] += tail.read_new()
    for pid in (1, 2):
        assert [b.to_pylist() for b in found[pid]] == [b.to_pylist() for b in given]
    assert tail.read_new() == []
    stream_path(tmp_path, 1).unlink()
    assert tail.read_new() == []


def test_a_killed_process_loses_only_what_it_had_not_written(tmp_path: Path) -> None:
    program = """
        import sys, time
        from pathlib import Path
        from reports.records.samples import SampleWriter
        from tests.made_runs import batch
        writer = SampleWriter(Path(sys.argv[1]), 7)
        for n in range(5):
            writer.write(batch(100, item=[n] * 100))
        print("written", flush=True)
        time.sleep(60)
    """
    code = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    child = subprocess.Popen(code, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent)
    assert child.stdout is not None
    assert child.stdout.readline() == b"written\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert len(rows(tmp_path)) == 500
    compact(tmp_path)
    assert len(rows(tmp_path)) == 500


def test_compacting_keeps_every_row_and_leaves_parquet_that_pandas_reads(tmp_path: Path) -> None:
    given = [mixed(n, rows=500) for n in range(3)]
    for pid in (1, 2):
        writer = SampleWriter(tmp_path, pid)
        for one in given:
            writer.write(one)
        writer.close()
    before = rows(tmp_path)
    compact(tmp_path)
    assert [p.name for p in sample_files(tmp_path)] == ["samples-1.parquet", "samples-2.parquet"]
    assert rows(tmp_path) == before
    frame = pd.read_parquet(tmp_path / "samples-1.parquet")
    assert list(frame.columns) == SAMPLE_SCHEMA.names
    assert frame["latency_ns"].tolist() == [row["latency_ns"] for row in before[:1500]]
    assert set(frame["cache"]) == {row["cache"] for row in before[:1500]}


def test_an_interrupted_compaction_counts_no_row_twice_and_can_be_repeated(tmp_path: Path) -> None:
    writer = SampleWriter(tmp_path, 1)
    writer.write(batch(10))
    writer.close()
    stream = stream_path(tmp_path, 1).read_bytes()
    compact(tmp_path)
    stream_path(tmp_path, 1).write_bytes(stream)  # as if it had died before it removed the stream
    (tmp_path / "samples-2.parquet-partial").write_bytes(b"half")
    assert len(rows(tmp_path)) == 10
    compact(tmp_path)
    assert [p.name for p in sample_files(tmp_path)] == ["samples-1.parquet"]
    assert len(rows(tmp_path)) == 10


def test_reading_some_columns_gives_those(tmp_path: Path) -> None:
    writer = SampleWriter(tmp_path, 1)
    writer.write(batch(4))
    for _ in range(2):
        (only,) = iter_batches(tmp_path, ["latency_ns", "cache"])
        assert only.schema.names == ["latency_ns", "cache"]
        writer.close()
        compact(tmp_path)
