"""Runs made up for the tests of reports: small, seeded, every column under control."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reports.records.schema import SAMPLE_SCHEMA, STAGES, Block, Environment, Manifest, Status, Target, Workload
from reports.store.store import RunStore, RunWriter, SampleWriter

STARTED = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
T0_NS = int(STARTED.timestamp()) * 1_000_000_000


def manifest(**fields: Any) -> Manifest:
    """A manifest in which only ``fields`` differ from the usual."""
    usual: dict[str, Any] = {
        "scenario": "steady",
        "mode": "async",
        "seed": 42,
        "users": 100,
        "duration_s": 10,
        "started_at": STARTED,
        "commit": "abcdef0123456789",
        "target": Target(url="http://127.0.0.1:8080", owned=True),
        "workload": Workload.of({"scenario": "steady"}),
        "environment": Environment(
            python="3.11", platform="Linux", cpu_model="test", cpu_count=2, memory_bytes=1 << 33, machine_id="m1"
        ),
    }
    return Manifest(**usual | fields)


def block(
    index: int = 0, *, at_s: float = 0.0, warmup_s: float = 1.0, measured_s: float = 10.0, **fields: Any
) -> Block:
    """A block that starts ``at_s`` after the run, measured from ``warmup_s`` on."""
    started = T0_NS + int(at_s * 1e9)
    measured = started + int(warmup_s * 1e9)
    until = measured + int(measured_s * 1e9)
    return Block(
        index=index, started_ns=started, measure_from_ns=measured, measure_until_ns=until, ended_ns=until, **fields
    )


def batch(rows: int, **columns: Any) -> pa.RecordBatch:
    """``rows`` samples: hits of 1 ms, one each ms from the run's start; ``columns`` replace whole columns."""
    usual: dict[str, Any] = {
        "scheduled_at": T0_NS + np.arange(rows) * 1_000_000,
        "latency_ns": 1_000_000,
        "status": 200,
        "error": "",
        "scenario": "steady",
        "block": 0,
        "cache": "hit",
        "attempts": 0,
        **{f"{stage}_ms": np.float32(0.5) for stage in STAGES},
        "bytes": 500,
        "user": 0,
        "item": 0,
        "prompt_tokens": 9,
        "output_tokens": 40,
    } | columns
    usual.setdefault("sent_at", usual["scheduled_at"])
    return pa.record_batch(
        [_array(usual[field.name], field.type, rows) for field in SAMPLE_SCHEMA], schema=SAMPLE_SCHEMA
    )


def _array(values: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if np.ndim(values) == 0:
        values = [values] * rows
    if pa.types.is_dictionary(kind):
        return pa.array(list(values), pa.string()).dictionary_encode()
    return pa.array(np.asarray(values), kind)


def mixed(
    seed: int = 1,
    *,
    rows: int = 4000,
    seconds: float = 11.0,
    at_s: float = 0.0,
    index: int = 0,
    miss_scale: float = 1.0,
    **columns: Any,
) -> pa.RecordBatch:
    """Hits about 8 ms and misses about 400 ms, some failures and retries, over ``seconds`` from ``at_s`` on."""
    rng = np.random.default_rng([seed, index])
    hit = rng.random(rows) < 0.55
    failed = rng.random(rows) < 0.01
    scheduled = np.sort(T0_NS + ((at_s + rng.random(rows) * seconds) * 1e9).astype(np.int64))
    misses = rng.choice(["miss", "collapsed"], rows, p=[0.9, 0.1])
    return batch(
        rows,
        scheduled_at=scheduled,
        sent_at=scheduled + rng.integers(10_000, 1_000_000, rows),
        latency_ns=np.where(
            hit, rng.lognormal(np.log(8e6), 0.4, rows), rng.lognormal(np.log(4e8 * miss_scale), 0.3, rows)
        ).astype(np.int64),
        status=np.where(failed, 503, 200),
        error=np.where(failed, "circuit-open", ""),
        block=index,
        cache=np.where(failed, "none", np.where(hit, "hit", misses)),
        attempts=np.where(hit, 0, 1 + (rng.random(rows) < 0.05)),
        **columns,
    )


def save(root: Path, batches: list[pa.RecordBatch], *, status: Status = "complete", **fields: Any) -> RunWriter:
    """A run with these samples, finished unless ``status`` is "running"."""
    fields.setdefault("blocks", [block()])
    blocks = fields.pop("blocks")
    writer = RunStore(root).create(manifest(**fields))
    stream = SampleWriter(writer.directory, 4711)
    for one in batches:
        stream.write(one)
    stream.close()
    writer.save(writer.manifest.model_copy(update={"blocks": blocks}))
    if status != "running":
        writer.finish(status, None if status == "complete" else "stopped by a test")
    return writer
