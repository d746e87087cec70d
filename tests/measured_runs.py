"""Runs on disk with exactly the latencies, failures and CPU seconds that a test says, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reports.records.samples import SampleWriter
from reports.records.schema import SAMPLE_SCHEMA, Block, Environment, Manifest, Server, Status, Target, Workload
from reports.store.run import Run
from reports.store.store import RunStore

STARTED = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """One block of ``seconds`` measured seconds that starts ``at_s`` after the run; latencies in ms, CPU in s."""

    hit_ms: Sequence[float] = ()
    miss_ms: Sequence[float] = ()
    failed: int = 0
    error: str = "rate-limited"
    attempts: int = 1
    seconds: float = 10.0
    at_s: float = 0.0
    server_cpu_s: float | None = 1.0
    server_rss_bytes: int | None = 100_000_000
    generator_cpu: float = 0.3
    block: dict[str, Any] = field(default_factory=dict)


def save_measured(root: Path, stretches: Sequence[Stretch], *, status: Status = "complete", **manifest: Any) -> Run:
    """Write a run of these blocks through the reports' own writer, and open it."""
    workload = Workload.of({"scenario": "steady", "users": manifest.get("users", 10), "load": {"loop": "closed"}})
    given: dict[str, Any] = {
        "scenario": "steady",
        "mode": "async",
        "seed": 42,
        "users": 10,
        "duration_s": stretches[0].seconds,
        "started_at": STARTED,
        "target": Target(url="http://127.0.0.1:1", owned=True),
        "workload": workload,
        "server": Server(config={"settings": {"default_model": "gemini-2.5-flash"}}),
        "environment": Environment(
            python="3.11", platform="Linux", cpu_model="Some CPU", cpu_count=4, memory_bytes=8 << 30, machine_id="m"
        ),
    } | manifest
    started_ns = Manifest(**given).started_ns
    given["blocks"] = [_block(index, stretch, started_ns) for index, stretch in enumerate(stretches)]
    store = RunStore(root)
    writer = store.create(Manifest(**given), room_bytes=0)
    samples = SampleWriter(writer.directory, 1)
    for block, stretch in zip(given["blocks"], stretches, strict=True):
        samples.write(_samples(block, stretch))
    samples.close()
    writer.finish(status, None if status == "complete" else "stopped")
    return store.open(writer.id)


def _block(index: int, stretch: Stretch, started_ns: int) -> Block:
    start_ns = started_ns + int(stretch.at_s * 1e9)
    until_ns = start_ns + int(stretch.seconds * 1e9)
    return Block(
        index=index,
        started_ns=start_ns,
        measure_from_ns=start_ns,
        measure_until_ns=until_ns,
        ended_ns=until_ns,
        **{
            "server_cpu_s": stretch.server_cpu_s,
            "server_rss_bytes": stretch.server_rss_bytes,
            "generator_cpu": stretch.generator_cpu,
            "generator_cpu_s": 1.0,
            "generator_lag_ms": 0.5,
            "steal": 0.0,
        }
        | stretch.block,
    )


def _samples(block: Block, stretch: Stretch) -> pa.RecordBatch:
    hits, misses, failed = len(stretch.hit_ms), len(stretch.miss_ms), stretch.failed
    n = hits + misses + failed
    latency_ms = np.array([*stretch.hit_ms, *stretch.miss_ms, *([5.0] * failed)])
    shuffled = np.random.default_rng(0).permutation(n)  # all kinds are spread evenly over the block
    scheduled = block.started_ns + (shuffled * int(stretch.seconds * 1e9)) // max(n, 1)
    columns: dict[str, object] = {
        "scheduled_at": scheduled,
        "sent_at": scheduled,
        "latency_ns": (latency_ms * 1e6).astype(np.int64),
        "status": np.array([200] * (hits + misses) + [429] * failed),
        "error": pa.array([""] * (hits + misses) + [stretch.error] * failed).dictionary_encode(),
        "scenario": pa.array(["steady"] * n).dictionary_encode(),
        "block": np.full(n, block.index),
        "cache": pa.array(["hit"] * hits + ["miss"] * misses + ["none"] * failed).dictionary_encode(),
        "attempts": np.array([0] * hits + [stretch.attempts] * misses + [3] * failed),
        **{name: np.zeros(n) for name in SAMPLE_SCHEMA.names if name.endswith("_ms")},
        "bytes": np.full(n, 900),
        "user": np.arange(n) % 10,
        "item": np.zeros(n),
        "prompt_tokens": np.array([40] * (hits + misses) + [-1] * failed),
        "output_tokens": np.array([100] * (hits + misses) + [-1] * failed),
    }
    arrays = [pa.array(columns[f.name]).cast(f.type) for f in SAMPLE_SCHEMA]
    return pa.record_batch(arrays, schema=SAMPLE_SCHEMA)


def minutes_later(minutes: float) -> datetime:
    """A start that sorts after ``STARTED``."""
    return STARTED + timedelta(minutes=minutes)
