"""Run directories with known content, made through the reports' own writer, for tests of the page.

The traffic is what the page is for: two populations of latency (cache hits in milliseconds, misses near a second), a
cache that warms up, and, where asked for, a storm of 429s that costs attempts and failures while it lasts.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from reports.records.aggregate import cells, to_rows
from reports.records.samples import SampleWriter
from reports.records.schema import (
    AGGREGATE_SCHEMA,
    SAMPLE_SCHEMA,
    Arm,
    Block,
    Environment,
    Manifest,
    Server,
    Status,
    Target,
    Workload,
)
from reports.store.store import RunStore
from reports.store.writer import RunWriter

T0_NS = 1_764_000_000_000_000_000
"""When every fabricated run starts, ns since the epoch."""

STAGE_COLUMNS = [name for name in SAMPLE_SCHEMA.names if name.endswith("_ms")]


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What the fabricated load looks like. Latencies in ms, times in s from the start of the run."""

    seed: int = 42
    seconds: int = 60
    rate: float = 400.0
    users: int = 200
    hit_share: float = 0.56
    hit_p50_ms: float = 22.0
    miss_p50_ms: float = 1020.0
    storm: tuple[float, float] | None = None
    failed_share: float = 0.0005


def samples(traffic: Traffic, *, block: int = 0, at_s: float = 0.0) -> pa.RecordBatch:
    """One block of ``traffic.seconds`` that begins ``at_s`` after T0, sorted by intended start."""
    rng = np.random.default_rng([traffic.seed, block])
    n = int(traffic.seconds * traffic.rate)
    offset_s = np.sort(rng.uniform(0.0, traffic.seconds, n))
    in_storm = np.zeros(n, dtype=bool)
    if traffic.storm is not None:
        in_storm = (offset_s >= traffic.storm[0]) & (offset_s < traffic.storm[1])

    warming = 1.0 - 0.35 * np.exp(-offset_s / 15.0)
    hit = rng.random(n) < traffic.hit_share * warming
    attempts = np.where(hit, 0, 1 + (rng.random(n) < 0.008))
    attempts = np.where(~hit & in_storm, 1 + rng.binomial(3, 0.12, n), attempts).astype(np.int16)

    hit_ms = traffic.hit_p50_ms * rng.lognormal(0.0, 0.35, n)
    backoff_ms = np.where(attempts > 1, (attempts - 1) * rng.uniform(80.0, 400.0, n), 0.0)
    gemini_ms = traffic.miss_p50_ms * rng.lognormal(0.0, 0.42, n) * np.where(in_storm, 1.35, 1.0)
    server_ms = np.where(hit, 0.25 * hit_ms, gemini_ms + backoff_ms + 1.5)
    latency_ms = np.where(hit, hit_ms, server_ms + rng.gamma(2.0, 0.8, n))

    failed = rng.random(n) < np.where(in_storm & ~hit, 0.012, traffic.failed_share)
    collapsed = ~hit & (rng.random(n) < 0.08)
    cache = np.select([failed, hit, collapsed], ["none", "hit", "collapsed"], "miss")
    status = np.where(failed, np.where(in_storm, 429, 503), 200).astype(np.int16)
    error = np.select([~failed, in_storm], ["", "rate-limited"], "upstream-error")

    stages = np.zeros((7, n), dtype=np.float32)
    stages[1] = 0.1
    stages[2] = np.where(hit, 0.02, 0.05)
    stages[3] = np.where(hit, 0.0, gemini_ms)
    stages[4] = np.where(hit, 0.0, backoff_ms)
    stages[5] = 0.03
    stages[6] = server_ms
    stages[0] = np.maximum(server_ms - stages[1:6].sum(axis=0), 0.0)

    scheduled = T0_NS + np.int64(at_s * 1e9) + (offset_s * 1e9).astype(np.int64)
    lag_ns = (rng.gamma(1.5, 40_000.0, n)).astype(np.int64)
    columns: dict[str, object] = {
        "scheduled_at": scheduled,
        "sent_at": scheduled + lag_ns,
        "latency_ns": (latency_ms * 1e6).astype(np.int64),
        "status": status,
        "error": pa.array(error).dictionary_encode(),
        "scenario": pa.array(["steady"] * n).dictionary_encode(),
        "block": np.full(n, block, dtype=np.int16),
        "cache": pa.array(cache).dictionary_encode(),
        "attempts": np.where(failed, 4, attempts).astype(np.int16),
        **{name: np.where(failed, np.nan, stages[i]).astype(np.float32) for i, name in enumerate(STAGE_COLUMNS)},
        "bytes": np.where(failed, 180, 900).astype(np.int32),
        "user": rng.integers(0, traffic.users, n, dtype=np.int32),
        "item": rng.zipf(1.4, n).clip(max=5000).astype(np.int32),
        "prompt_tokens": np.where(failed, -1, 40).astype(np.int32),
        "output_tokens": np.where(failed, -1, rng.integers(20, 300, n)).astype(np.int32),
    }
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in SAMPLE_SCHEMA], schema=SAMPLE_SCHEMA)


def save_run(root: Path, traffic: Traffic, *, minute: int = 0, status: Status = "complete", **manifest: Any) -> str:
    """Write a whole run of one measured block and end it; ``minute`` sets its start apart. Returns its id."""
    started_ns = T0_NS + minute * 60_000_000_000
    block = measured_block(traffic, started_ns)
    return _write(root, make_manifest(traffic, started_ns, blocks=[block], **manifest), [samples(traffic)], status)


def save_pair(root: Path, a: Traffic, b: Traffic, *, minute: int = 0, **manifest: Any) -> tuple[str, str]:
    """Write an A/B experiment whose blocks alternate A B B A, sync against async. Returns both ids."""
    started_ns = T0_NS + minute * 60_000_000_000
    ids = []
    for arm, mode, traffic, turns in (("A", "sync", a, (0, 3)), ("B", "async", b, (1, 2))):
        starts = [turn * (traffic.seconds + 2.0) for turn in turns]
        blocks = [
            measured_block(traffic, started_ns, index=turn, at_s=at, arm=arm)
            for turn, at in zip(turns, starts, strict=True)
        ]
        parts = [samples(traffic, block=turn, at_s=at) for turn, at in zip(turns, starts, strict=True)]
        given = {"mode": mode, "arm": arm, "experiment": f"exp-{minute}", "blocks": blocks, **manifest}
        ids.append(_write(root, make_manifest(traffic, started_ns, **given), parts, "complete"))
    return ids[0], ids[1]


def _write(root: Path, manifest: Manifest, parts: list[pa.RecordBatch], status: Status) -> str:
    shift = manifest.started_ns - T0_NS
    moved = [_shifted(part, shift) for part in parts]
    writer = RunStore(root).create(manifest, room_bytes=0)
    stream = SampleWriter(writer.directory, 4711)
    for part in moved:
        stream.write(part)
    stream.close()
    for tick in ticks(manifest, pa.Table.from_batches(moved)):
        writer.append_tick(tick)
    writer.finish(status, None if status == "complete" else "stopped by Ctrl-C")
    return writer.id


def _shifted(batch: pa.RecordBatch, ns: int) -> pa.RecordBatch:
    for name in ("scheduled_at", "sent_at"):
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, SAMPLE_SCHEMA.field(name), pa.compute.add(batch.column(name), ns))
    return batch


def ticks(manifest: Manifest, sampled: pa.Table) -> Iterator[dict[str, Any]]:
    """One tick a second of the run, each with the cells of the samples that ended in it."""
    done_ns = np.add(sampled["sent_at"].to_numpy(), sampled["latency_ns"].to_numpy())
    second = (done_ns - manifest.started_ns) // 1_000_000_000 + 1
    order = np.argsort(second, kind="stable")
    ordered, second = sampled.take(order), second[order]
    edges = np.searchsorted(second, np.arange(second[-1] + 2))
    for t in range(1, int(second[-1]) + 1):
        part = ordered.slice(edges[t], edges[t + 1] - edges[t])
        now_ns = manifest.started_ns + t * 1_000_000_000
        block = next((b for b in manifest.blocks if b.started_ns < now_ns <= (b.ended_ns or now_ns)), None)
        waiting = int(np.count_nonzero((sampled["sent_at"].to_numpy() <= now_ns) & (done_ns > now_ns)))
        yield {
            "seq": t - 1,
            "t": float(t),
            "time": now_ns / 1e9,
            "block": block.index if block else -1,
            "phase": "measure" if block else "idle",
            "users": manifest.users if block else 0,
            "cells": to_rows(cells(part, manifest.blocks, manifest.started_ns)) if part.num_rows else [],
            "generator": {"cpu": 0.31 + 0.04 * (t % 3), "rss_bytes": 150_000_000, "lag_ms": 0.8},
            "server": {
                "cpu": 0.42 + 0.05 * (t % 4),
                "rss_bytes": 91_234_304,
                "in_flight": {"QUEUED": waiting // 50, "VALIDATING": 0, "PROCESSING": waiting, "RETRY": waiting // 40},
            },
        }


def measured_block(
    traffic: Traffic, started_ns: int, *, index: int = 0, at_s: float = 0.0, warmup_s: int = 3, arm: Arm | None = None
) -> Block:
    """A block over all of ``traffic`` whose first ``warmup_s`` seconds do not count."""
    begin = started_ns + int(at_s * 1e9)
    end = begin + traffic.seconds * 1_000_000_000
    return Block(
        index=index,
        arm=arm,
        started_ns=begin,
        measure_from_ns=begin + warmup_s * 1_000_000_000,
        measure_until_ns=end,
        ended_ns=end + 1_000_000_000,
        server_cpu_s=traffic.seconds * 0.42,
        generator_cpu_s=traffic.seconds * 0.31,
        server_rss_bytes=91_234_304,
        generator_lag_ms=0.8,
        generator_cpu=0.31,
        steal=0.0,
    )


def make_manifest(traffic: Traffic, started_ns: int, **given: Any) -> Manifest:
    """A manifest as the bench would write it; ``given`` replaces fields."""
    started = datetime.fromtimestamp(started_ns / 1e9, UTC)
    fields: dict[str, Any] = {
        "scenario": "steady",
        "mode": "async",
        "seed": traffic.seed,
        "users": traffic.users,
        "duration_s": float(traffic.seconds),
        "started_at": started,
        "commit": "7f3a91d0c4b25e6f8a9b0c1d2e3f405162738495",
        "command": ["python", "-m", "loadtests", "bench"],
        "target": Target(url="http://127.0.0.1:40123", owned=True),
        "workload": Workload.of({"scenario": "steady", "users": traffic.users, "prompts": 5000, "zipf": 1.1}),
        "server": Server(
            config={"mode": "async", "cache": {"enabled": True, "ttl_s": 300}, "retry": {"attempts": 3}},
            argv=["python", "-m", "server", "--port", "0"],
        ),
        "environment": Environment(
            python="3.11.2",
            platform="Linux-6.1-x86_64",
            cpu_model="Example CPU @ 2.80GHz",
            cpu_count=2,
            affinity={"server": [0], "generator": [1]},
            memory_bytes=8 << 30,
            machine_id="c0ffee00",
            packages={"aiohttp": "3.14.0", "locust": "2.43.1"},
        ),
        "load_pids": [4711],
    }
    return Manifest(**{**fields, **given})


@dataclass
class LiveRun:
    """A run that goes on: its ticks are written when a test says so, not when their time has come."""

    writer: RunWriter
    coming: list[dict[str, Any]]
    written: list[dict[str, Any]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread(target=self._stay_live, daemon=True).start()

    def _stay_live(self) -> None:
        """A run whose files are not touched for 15 s counts as crashed, and a slow machine may take that long."""
        while not self.ended.wait(2.0):
            with contextlib.suppress(FileNotFoundError):
                os.utime(self.writer.directory / "ticks.jsonl")

    def write(self, number: int) -> None:
        """Append the next ``number`` ticks."""
        for tick in self.coming[:number]:
            self.writer.append_tick(tick)
        self.written += self.coming[:number]
        del self.coming[:number]

    def end(self) -> None:
        """End the run as the bench does: the block is closed, then the run."""
        self.ended.set()
        manifest = self.writer.manifest
        block = manifest.blocks[0]
        closed = block.model_copy(
            update={"measure_until_ns": block.started_ns + 15 * 10**9, "ended_ns": T0_NS + 10**11}
        )
        self.writer.save(manifest.model_copy(update={"blocks": [closed]}))
        self.writer.finish("complete")

    def count(self, **wanted: Any) -> int:
        """Requests in the cells written so far; ``wanted`` are values of aggregate columns."""
        names = AGGREGATE_SCHEMA.names
        rows = [dict(zip(names, row, strict=True)) for tick in self.written for row in tick["cells"]]
        return sum(row["count"] for row in rows if all(row[name] == value for name, value in wanted.items()))


def live_run(root: Path, traffic: Traffic, **manifest: Any) -> LiveRun:
    """Begin a run of one block that has not ended; nothing of it is written yet but its manifest."""
    block = measured_block(traffic, T0_NS).model_copy(update={"ended_ns": None, "measure_until_ns": None})
    writer = RunStore(root).create(make_manifest(traffic, T0_NS, blocks=[block], **manifest), room_bytes=0)
    batch = samples(traffic)
    stream = SampleWriter(writer.directory, 4711)
    stream.write(batch)
    stream.close()
    return LiveRun(writer, list(ticks(writer.manifest, pa.Table.from_batches([batch]))))
